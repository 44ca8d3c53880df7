/**
 * The answer to a case in three words: finding, doubt or none. The rule of
 * fracture_core/predictions.py, and the sentence for it.
 */

import { isStrange, NOT_MEASURED } from "./banner.js"
import { fixed, pointNames } from "./measured_words.js"

const SIGNS = { finding: "◆", doubt: "◐", none: "○", unknown: "–" }

function byPoints(score, sensitive, specific) {
  if (score === null) return "none"
  if (specific !== null && score >= specific) return "finding"
  if (sensitive === null) return "unknown"
  if (score < sensitive) return "none"
  return specific === null ? "unknown" : "doubt"
}

/**
 * {kind, above, hidden}: what the best `score` means, null where nothing was proposed, by the
 * confidences of the model's two points, null = not measured, and the one that is shown from.
 */
export function answerOf(score, { sensitive, specific, confidence = null }) {
  const points = [sensitive, specific].filter((point) => point !== null)
  if (!points.length) return { kind: "unknown", above: null, hidden: null }
  const kind = byPoints(score, sensitive, specific)
  if (confidence !== null && (score === null || score < confidence)) {
    return { kind: "none", above: confidence, hidden: kind === "none" ? null : kind }
  }
  return { kind, above: kind === "none" ? Math.min(...points) : null, hidden: null }
}

/** {score, frame}: the best of all frames; null where none was predicted, a score of null = nothing. */
function bestOf({ predictions, image_scores: imageScores, task }) {
  const scoreOf = (raw, n) => (task === "classify" ? imageScores[n] : (raw.scores[0] ?? null))
  const scored = predictions.flatMap((raw, frame) => (raw === null ? [] : [{ score: scoreOf(raw, frame), frame }]))
  const better = (best, one) => (one.score !== null && (best.score === null || one.score > best.score) ? one : best)
  return scored.length ? scored.reduce(better) : null
}

/**
 * The answer of a pane at its settings, on all frames of the case, with its words: {kind, sign,
 * words, score, frame, sensitive, specific}; null where there is no prediction.
 */
export function answerIn(pane, { confidence }) {
  const best = bestOf(pane)
  if (!best) return null
  // No point was measured on images like one outside the model's scope.
  const measured = isStrange(pane) ? null : pane.measured
  const sensitive = measured?.dashed_above ?? null
  const specific = measured?.solid_above ?? null
  const answer = answerOf(best.score, { sensitive, specific, confidence })
  return { ...answer, ...best, sensitive, specific, sign: SIGNS[answer.kind], words: wordsOf(answer, { pane, best, sensitive, specific }) }
}

function wordsOf({ kind, above, hidden }, { pane, best: { score, frame }, sensitive, specific }) {
  const at = (confidence) => {
    const names = pane.measured ? pointNames(pane.measured, confidence) : ""
    return names ? `${fixed(confidence)} (${names})` : fixed(confidence)
  }
  const where = pane.predictions.length > 1 ? ` in slice ${frame + 1}` : ""
  const scored = score === null ? "" : `${score.toFixed(2)}${where}`
  if (kind === "finding") return `Finding: ${scored}, at or above ${at(specific)}`
  if (kind === "doubt") return `Doubt: ${scored}, from ${at(sensitive)} to below ${at(specific)}`
  if (kind === "none") return `No finding above ${at(above)}${score === null ? "" : `; ${bestWords(scored, hidden)}`}`
  if (sensitive === null && specific === null) return `Finding, doubt or none cannot be told: this model's points are ${isStrange(pane) ? NOT_MEASURED : "not measured"}`
  if (specific === null) return `${scored}, at or above ${at(sensitive)}: finding or doubt cannot be told, no specific point was measured`
  return `${scored}, below ${at(specific)}: doubt or none cannot be told, no sensitive point was measured`
}

function bestWords(scored, hidden) {
  return hidden === "finding" || hidden === "doubt" ? `${scored} below it is a ${hidden} by the model's points` : `best ${scored}`
}

/** As the exported COCO JSON says it. */
export function exportedAnswer(answer) {
  return answer && { kind: answer.kind, sentence: `${answer.words}.`, score: answer.score, sensitive_point: answer.sensitive, specific_point: answer.specific }
}
