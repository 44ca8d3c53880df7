/**
 * Which settings a pane goes by: those for all, its own, the confidence that reaches a level, or the
 * one that its model opens at.
 */

import { confidenceAt, levelAt } from "./measured.js"

const common = ({ confidence, nms_iou }) => [confidence, nms_iou]

/** Whether nobody chose the confidence of pane `n`: it is the one that its model opens at. */
export function opens(state, n) {
  const chosen = state.own[n] ? state.own[n][0] : state.confidence
  return state.unit === "confidence" && chosen === null
}

/** The state as pane `n` sees it, whose model was `measured` or not (null) and has an `opening`. */
export function settingsOf(state, n, { measured, opening }) {
  const [chosen, nms_iou] = state.own[n] ?? common(state)
  const settings = { ...state, confidence: chosen ?? opening.confidence, nms_iou }
  if (!measured || state.unit === "confidence") return settings
  const found = confidenceAt(measured, state.unit, state.level)
  return found ? { ...settings, confidence: found.confidence } : settings
}

/** A change as it enters the state: where panes have settings of their own, only for this one. */
export function placed(state, pane, part) {
  const { confidence, nms_iou, ...rest } = part
  if (!state.own.length || (confidence === undefined && nms_iou === undefined)) return part
  const own = Array.from({ length: Math.max(state.own.length, pane + 1) }, (_, n) => state.own[n] ?? common(state))
  own[pane] = [confidence ?? own[pane][0], nms_iou ?? own[pane][1]]
  return { ...rest, own }
}

/** Settings of their own for all `panes`, beginning with those in force; or one set for all again. */
export function toggledOwn(state, panes) {
  if (state.own.length) return { own: [] }
  return { unit: "confidence", own: panes.map((pane, n) => common(settingsOf(state, n, pane))) }
}

/** One dial for all in this unit, beginning where the pane `n` stands. */
export function inUnit(state, unit, panes, n) {
  const { measured } = panes[n]
  const reached = measured && unit !== "confidence" ? levelAt(measured, unit, settingsOf(state, n, panes[n]).confidence) : null
  return { unit, own: [], level: Math.min(reached ?? state.level, MOST_LEVEL[unit]) }
}

export const MOST_LEVEL = { confidence: 8, sensitivity: 1, fp_per_image: 8 }
