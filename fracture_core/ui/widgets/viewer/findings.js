/** What is shown of a pane's candidates at the present settings, and the words for it. */

import { classAccount, classified } from "./class_scores.js"
import { inGroups } from "./detections.js"
import { above, kinds, match, nms } from "./filter.js"
import { fixed, negativeWords } from "./measured_words.js"

/**
 * The findings of one pane on one frame.
 *
 * shown: positions of candidates · rows: {position, number, kind, iou, groundTruth} in the same order ·
 * missed: positions of ground truths · below, merged: how many are hidden, and why · best: the best
 * candidate below the confidence or −1 · judged: whether ground truth is known and may be shown · classified: a
 * classifier's, else null.
 */
export function findingsOf(pane, frame, classes, state) {
  const raw = pane.predictions[state.frame]
  const { groundTruth } = frame
  const judged = groundTruth !== null && state.show_ground_truth && raw !== null && pane.task !== "classify"
  if (raw === null) {
    return { raw, groundTruth, judged, shown: [], rows: [], missed: [], below: 0, merged: 0, best: -1, classified: null }
  }
  const confident = above(raw, state.confidence)
  const told = inGroups(raw)
  const shown = nms(told, confident, pane.needs_nms ? state.nms_iou : 1)
  const found = judged
    ? match(told, shown, inGroups(groundTruth), {
        matchIou: state.match_iou,
        rule: state.rule,
        classAware: state.class_aware && pane.comparable,
      })
    : null
  const named = found && kinds(found)
  const rows = shown.map((position, n) => ({
    position,
    number: n + 1,
    kind: judged ? named[n] : "finding",
    iou: judged ? found.iou[n] : null,
    groundTruth: judged ? Math.max(found.groundTruthOf[n], found.duplicateOf[n]) : -1,
  }))
  return {
    raw,
    groundTruth,
    judged,
    shown,
    rows,
    missed: judged ? found.missed : [],
    below: raw.count - confident.length,
    merged: confident.length - shown.length,
    best: confident.length < raw.count ? confident.length : -1,
    classified: classified(pane, frame, state.frame, classes, state.show_ground_truth),
  }
}

export function countKinds(findings) {
  const counts = { "true positive": 0, "false positive": 0, duplicate: 0, finding: 0 }
  for (const row of findings.rows) counts[row.kind]++
  return { ...counts, missed: findings.missed.length }
}

const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`

/** What it means that a detector shows nothing. */
export function negative(pane, findings, state) {
  const best = findings.best < 0 ? "the model proposed no candidate at all" : `best candidate ${findings.raw.scores[findings.best].toFixed(2)}`
  if (pane.measured) return negativeWords(pane, state, best)
  const head = `No finding at or above confidence ${fixed(state.confidence)}. The sensitivity of this setting has not been measured.`
  return `${head} ${best[0].toUpperCase()}${best.slice(1)}.`
}

function verdictOnGroundTruth(findings) {
  const counts = countKinds(findings)
  if (findings.groundTruth.count === 0) {
    return findings.rows.length
      ? "the ground truth has nothing in this image, so none matches"
      : "The ground truth has nothing in this image either."
  }
  const missed = findings.missed.length
    ? `${plural(findings.missed.length, "ground-truth box", "ground-truth boxes")} missed`
    : `no ground truth missed`
  if (!findings.rows.length) return `${missed[0].toUpperCase()}${missed.slice(1)}.`
  const right = counts["true positive"]
  const wrong = counts["false positive"]
  const parts = [right ? `${plural(right, "matches", "match")} the ground truth` : "none matches the ground truth"]
  if (right && wrong) parts.push(plural(wrong, "does not", "do not"))
  if (counts.duplicate) parts.push(`${plural(counts.duplicate, "repeats", "repeat")} a ground-truth box already matched`)
  return `${parts.join(", ")}; ${missed}`
}

/** The plain account of one pane. Never "no fracture". */
export function account(pane, findings, state) {
  if (findings.raw === null) return pane.scope?.held_back ? "Not read." : "No prediction for this image."
  if (findings.classified) return classAccount(pane, findings.classified, state)
  const unknown = findings.groundTruth === null ? "Ground truth unknown." : "Ground truth hidden."
  if (!findings.rows.length) {
    return `${negative(pane, findings, state)} ${findings.judged ? verdictOnGroundTruth(findings) : unknown}`
  }
  const many = plural(findings.rows.length, "finding", "findings")
  const head = `${many} at or above confidence ${fixed(state.confidence)}`
  return findings.judged ? `${head}: ${verdictOnGroundTruth(findings)}.` : `${head}. ${unknown}`
}

/** How many candidates are shown and hidden, and why. */
export function tally(findings, state) {
  const parts = [`${findings.rows.length} shown`]
  parts.push(`${findings.below} hidden below confidence ${fixed(state.confidence)}`)
  if (findings.merged) parts.push(`${findings.merged} suppressed`)
  return parts.join(", ")
}
