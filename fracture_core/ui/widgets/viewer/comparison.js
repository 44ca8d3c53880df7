/** Several models on one frame: their places, the words for them, and the marks in each pane. */

import { agree } from "./agreement.js"
import { inGroups } from "./detections.js"
import { findingMarks } from "./marks.js"
import { TAGS } from "./overlay.js"

export const letterOf = (pane) => "ABCD"[pane]
const MOST_LACKING_TAGS = 12
// Of hundreds of findings only the best are told in words: more could not be read.
const MOST_TAGS = 40
const shareClass = (a, b) => a.groups.some((group) => group >= 0 && b.groups.includes(group))

/** What stands at the head of pane `n`: one letter a model, facts, a classifier's scores. */
export function headOf(panes, n, frame, active) {
  const { facts, note, task, classes, class_scores: predicted } = panes[n]
  const scores = task === "classify" && predicted[frame] ? [classes, predicted[frame]] : null
  const many = panes.length > 1
  return { letter: many ? letterOf(n) : "", facts, note, scores: many ? scores : null, chosen: many && n === active }
}

/** Panes that predict boxes: neither failed nor classifiers. */
function takingPart(panes, findings) {
  return panes.map((_, n) => n).filter((n) => findings[n].raw !== null && panes[n].task !== "classify")
}

function groundTruthOfRow({ kind, groundTruth }) {
  return kind === "true positive" ? groundTruth : -1
}

/**
 * What the panes have in common.
 *
 * voices: the panes that predict boxes · places: {id, number, raw, at, label, pane: whose
 * label and box, scores: one a pane or null, foundBy: panes, groundTruth} · placeOf: for each pane the
 * place of each of its rows · foundBy: for each ground truth the panes that found it, null where ground truth is
 * unknown or hidden.
 */
export function compare(panes, findings, state) {
  const voices = takingPart(panes, findings)
  const models = voices.map((n) => ({
    raw: inGroups(findings[n].raw),
    shown: findings[n].shown,
    groundTruthOf: findings[n].rows.map(groundTruthOfRow),
  }))
  const judged = voices.some((n) => findings[n].judged)
  const groundTruths = judged ? findings[voices[0]].groundTruth.count : 0
  const alike = voices.every((a) => voices.every((b) => shareClass(panes[a], panes[b])))
  const options = { matchIou: state.match_iou, rule: state.rule, classAware: state.class_aware && alike }
  const agreed = agree(models, groundTruths, options)
  const placeOf = panes.map(() => [])
  const places = agreed.places.map((place, index) => named(place, index, { panes, findings, voices, placeOf }))
  const foundBy = judged ? agreed.foundBy.map((by) => by.map((model) => voices[model])) : null
  return { voices, places, placeOf, foundBy, groundTruth: findings[voices[0]]?.groundTruth ?? null }
}

function named({ members, first, at, groundTruth }, index, { panes, findings, voices, placeOf }) {
  const scores = panes.map(() => null)
  const { raw } = findings[voices[first]]
  const place = { id: `g${voices[first]}.${at}`, number: index + 1, raw, at, label: raw.labels[at], pane: voices[first], scores, groundTruth }
  members.forEach((row, model) => {
    if (row < 0) return
    const n = voices[model]
    scores[n] = findings[n].raw.scores[findings[n].shown[row]]
    placeOf[n][row] = place
  })
  place.foundBy = voices.filter((n) => scores[n] !== null)
  return place
}

export function missedByAll({ foundBy }) {
  return foundBy ? foundBy.map((_, groundTruth) => groundTruth).filter((groundTruth) => !foundBy[groundTruth].length) : []
}

/** The place that has the ground truth under an id such as "t1"; every other id as it is. */
export function placeIdOf({ places }, id) {
  const groundTruth = id?.[0] === "t" ? Number(id.slice(1)) : -1
  return groundTruth < 0 ? id : (places.find((place) => place.groundTruth === groundTruth)?.id ?? id)
}

// ---- words ---------------------------------------------------------------------------------

const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`

function onGroundTruth({ foundBy, groundTruth, voices }) {
  if (!foundBy) return groundTruth === null ? "Ground truth unknown." : "Ground truth hidden."
  if (!foundBy.length) return "The ground truth has nothing in this image."
  const byAll = foundBy.filter((by) => by.length === voices.length).length
  const byNone = foundBy.filter((by) => by.length === 0).length
  return `Ground truth: ${byAll} of ${foundBy.length} found by all, ${byNone} missed by all.`
}

/** The plain account of the comparison. Never "no fracture". */
export function accountOfAll(comparison) {
  const { places, voices } = comparison
  if (!voices.length) return "No model predicts boxes here: there is nothing to compare."
  if (voices.length === 1) return `Only model ${letterOf(voices[0])} predicts boxes here: there is nothing to compare.`
  if (!places.length) return `No model has a finding at or above its confidence. ${onGroundTruth(comparison)}`
  const byAll = places.filter((place) => place.foundBy.length === voices.length).length
  const some = places.length - byAll
  return `${plural(places.length, "place", "places")}: ${byAll} found by all, ${some} by some. ${onGroundTruth(comparison)}`
}

/** "all", or how many and who. */
function agreementOf({ foundBy }, voices) {
  if (foundBy.length === voices.length) return ["all", `all: ${foundBy.map(letterOf).join(", ")}`]
  const share = `${foundBy.length} of ${voices.length}`
  return [share, `${share}: ${foundBy.map(letterOf).join(", ")}`]
}

const voicesOnly = (scores, panes) => scores.filter((_, n) => panes[n].task !== "classify")

/** Rows for the table: places by score, then the ground truths that no model found. */
export function placeRows(comparison, panes, classes) {
  const { places, voices, groundTruth } = comparison
  const rows = places.map((place) => {
    const [agreement, title] = agreementOf(place, voices)
    const name = panes[place.pane].classes[place.label] ?? `class ${place.label}`
    const kind = agreement === "all" ? "all" : "some"
    return { id: place.id, number: place.number, name, scores: voicesOnly(place.scores, panes), groundTruth: place.groundTruth, agreement, title, kind }
  })
  for (const j of missedByAll(comparison)) {
    const name = classes[groundTruth.labels[j]] ?? `class ${groundTruth.labels[j]}`
    rows.push({ id: `t${j}`, number: `GT${j + 1}`, name, scores: voicesOnly(panes.map(() => null), panes), groundTruth: j, agreement: "none", title: "found by none", kind: "none" })
  }
  return rows
}

// ---- marks ---------------------------------------------------------------------------------

/** The findings of pane `n`, numbered by place; `found` tells by whom: "all" or "some". */
export function comparedMarks(comparison, n, { pane, findings, lit, dotted }) {
  const { voices, placeOf } = comparison
  const marks = findingMarks(pane, findings, null, dotted)
  placeOf[n].forEach((place, row) => {
    const mark = marks[row]
    mark.id = place.id
    mark.lit = place.id === lit
    if (row >= MOST_TAGS && !mark.lit) {
      mark.tag = ""
      return
    }
    const share = voices.length > 1 ? `${place.foundBy.length}/${voices.length}` : undefined
    const parts = [place.number, TAGS[findings.rows[row].kind], place.scores[n].toFixed(2), share]
    mark.tag = parts.filter((part) => part !== undefined).join(" ")
    if (voices.length > 1) mark.found = place.foundBy.length < voices.length ? "some" : "all"
  })
  return marks
}

/** Where others found something and this pane did not: faint corners. */
export function lackingMarks({ voices, places }, n, lit) {
  if (!voices.includes(n)) return []
  const lacking = places.filter((place) => place.scores[n] === null)
  const few = lacking.length <= MOST_LACKING_TAGS
  return lacking.map(({ id, number, raw, at }) => {
    const tag = id === lit ? `${number} not found` : few ? `${number} –` : ""
    return { id, kind: "lacking", line: "solid", tag, xyxy: raw.xyxy, index: at, mask: null, lit: id === lit }
  })
}
