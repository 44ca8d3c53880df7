/** What was measured, in sentences: every figure with its unit, its interval and where it is from. */

import { isStrange, NOT_MEASURED } from "./banner.js"
import { opens } from "./thresholds.js"
import { wilson } from "./intervals.js"
import { confidenceAt, evidenceFor, fpPerImageAt, levelAt, sensitivityAt, specificityAt } from "./measured.js"

/** A confidence or a bound in as many digits as it was given, two at least. */
export function fixed(value, digits = 2) {
  const exact = String(+value.toFixed(4))
  return exact.length > digits + 2 ? exact : value.toFixed(digits)
}

export const placeOf = ({ data, split }) => `${data}, split ${split}`

/** "0.91 (0.86–0.95)"; a share of nothing is undefined. */
export function shareWords({ count, total }) {
  if (total === 0) return "undefined"
  const [low, high] = wilson(count, total)
  return `${(count / total).toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`
}

const percent = (share) => `${Math.round(100 * share)}`

/** How it was measured, where the settings in force differ from that; else nothing. */
function conditions(pane, state) {
  const { unit, nms_iou: nms, match_iou: match, one_class: oneClass } = pane.measured
  if (unit === "image") return ""
  const parts = []
  if (pane.needs_nms && state.nms_iou !== nms) parts.push(`NMS IoU ${fixed(nms)}`)
  if (state.rule !== "iou" || state.match_iou !== match) parts.push(`match IoU ${fixed(match)}`)
  if (oneClass && state.class_aware && pane.comparable && pane.classes.length > 1) parts.push("all classes taken as one")
  return parts.length ? ` (measured at ${parts.join(" and ")})` : ""
}

/** Where an operating point was applied to another split, what it reached there counts. */
function worthOfNegative(measured, confidence) {
  const applied = measured.points.find((point) => point.confidence === confidence && point.applied)?.applied
  return applied ?? { share: sensitivityAt(measured, confidence), where: placeOf(measured) }
}

/** What a confidence is called: an operating point only where it is one. */
export function placeWords(measured, confidence) {
  return pointNames(measured, confidence) ? "this operating point" : "this confidence"
}

/** What it is worth that nothing is shown: a negative is no more than that. */
export function negativeWords(pane, state, best) {
  if (isStrange(pane)) return `No finding above ${placeWords(pane.measured, state.confidence)}; ${NOT_MEASURED}; ${best}.`
  const { share, where } = worthOfNegative(pane.measured, state.confidence)
  const worth = share.total ? `measured sensitivity ${shareWords(share)} per ${pane.measured.unit} on ${where}${conditions(pane, state)}` : `its sensitivity is undefined: nothing to find in ${where}`
  return `No finding above ${placeWords(pane.measured, state.confidence)}; ${worth}; ${best}.`
}

/** What a score is worth, told by the findings that were scored alike. */
export function evidenceWords(pane, score, state) {
  if (isStrange(pane)) return `${NOT_MEASURED}.`
  const { measured } = pane
  const bin = evidenceFor(measured, score)
  const things = measured.unit === "image" ? "images" : "boxes"
  const where = `on ${placeOf(measured)}${conditions(pane, state)}`
  if (!bin) return `nothing was measured of ${things} scored ${score.toFixed(2)} ${where}.`
  const range = `${+bin.low.toFixed(3)}–${+bin.high.toFixed(3)}`
  if (!bin.total) return `no ${measured.unit === "image" ? "image" : "box"} was scored ${range} by this model ${where} (n = 0).`
  const [low, high] = wilson(bin.right, bin.total)
  const were = measured.unit === "image" ? "had a finding" : "were right"
  return `${things} scored ${range} by this model ${were} ${percent(bin.right / bin.total)} % of the time (${percent(low)}–${percent(high)} %) ${where} (n = ${bin.total}).`
}

/** What the setting in force reaches. */
export function settingWords(pane, state) {
  const { measured } = pane
  const { confidence } = state
  const image = measured.unit === "image"
  if (isStrange(pane)) return `At ${image ? "image score" : "confidence"} ${fixed(confidence)}: ${NOT_MEASURED}.`
  const parts = [`sensitivity ${shareWords(sensitivityAt(measured, confidence))} per ${measured.unit}`]
  const wrong = fpPerImageAt(measured, confidence)
  if (!image) parts.push(`${wrong === null ? "undefined" : wrong.toFixed(2)} FP per image`)
  parts.push(`specificity ${shareWords(specificityAt(measured, confidence))} per image`)
  return `At ${image ? "image score" : "confidence"} ${fixed(confidence)} on ${placeOf(measured)}: ${parts.join(", ")}${conditions(pane, state)}.`
}

/** Where a model opens, and why not where it should. */
function openingWords({ opening, task }) {
  const at = `starts at ${scoreName(task)} ${fixed(opening.confidence)}`
  const rule = opening.rule ? `${at}, ${opening.rule}` : at
  return opening.reason ? `${rule} (${opening.reason})` : rule
}

const scoreName = (task) => (task === "classify" ? "image score" : "confidence")

/** How pane `n` follows a dial that is not in raw confidence, or where it opens; else empty. */
export function dialWords(pane, state, n, settings, imageScore) {
  if (opens(state, n)) return openingWords(pane)
  if (state.unit === "confidence") return ""
  const { measured } = pane
  const found = measured && confidenceAt(measured, state.unit, state.level)
  const name = scoreName(pane.task)
  const at = `${name} ${fixed(settings.confidence)}`
  if (!found) return `${measured ? "level undefined" : "not measured"}: raw ${at}`
  if (isStrange(pane)) return `${at}: ${NOT_MEASURED}`
  const reached = levelAt(measured, state.unit, found.confidence).toFixed(2)
  const level = state.unit === "sensitivity" ? `sensitivity ${reached} per ${measured.unit}` : `${reached} FP per image`
  const limit = found.met ? "" : state.unit === "sensitivity" ? "at most " : "already "
  const here = pane.task !== "classify" || imageScore === null ? "" : `; this image ${imageScore.toFixed(2)}`
  return `${at}: ${limit}${level}${here}`
}

/** The operating points whose confidence this is, by name. */
export function pointNames({ points }, confidence) {
  return points.filter((point) => point.confidence === confidence).map(({ rule }) => rule).join(", ")
}
