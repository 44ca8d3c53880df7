/** Which settings a pane goes by: those for all, or a confidence and an NMS IoU of its own. */

const common = ({ confidence, nms_iou }) => [confidence, nms_iou]

/** The state as this pane sees it. */
export function settingsOf(state, pane) {
  const own = state.own[pane]
  return own ? { ...state, confidence: own[0], nms_iou: own[1] } : state
}

/** A change as it enters the state: where panes have settings of their own, only for this one. */
export function placed(state, pane, part) {
  const { confidence, nms_iou, ...rest } = part
  if (!state.own.length || (confidence === undefined && nms_iou === undefined)) return part
  const own = Array.from({ length: Math.max(state.own.length, pane + 1) }, (_, n) => state.own[n] ?? common(state))
  own[pane] = [confidence ?? own[pane][0], nms_iou ?? own[pane][1]]
  return { ...rest, own }
}

/** Settings of their own for `count` panes, beginning with those for all; or for all again. */
export function toggledOwn(state, count) {
  return { own: state.own.length ? [] : Array.from({ length: count }, () => common(state)) }
}
