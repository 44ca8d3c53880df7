/**
 * The transform that all panes share: which image point lies at the centre of a pane, at what
 * scale (CSS pixels per image pixel), mirrored and turned how.
 */

export const MAX_SCALE = 64

export function newView() {
  return { x: 0, y: 0, scale: 1, flipH: false, flipV: false, turns: 0, fitted: true }
}

/** Linear part [a, b, c, d] from image to screen: x' = a·x + c·y, y' = b·x + d·y. */
function linear(view) {
  const h = view.flipH ? -view.scale : view.scale
  const v = view.flipV ? -view.scale : view.scale
  if (view.turns === 1) return [0, h, -v, 0]
  if (view.turns === 2) return [-h, 0, 0, -v]
  if (view.turns === 3) return [0, -h, v, 0]
  return [h, 0, 0, v]
}

/** The whole matrix [a, b, c, d, e, f] for a pane of this size. */
export function matrix(view, size) {
  const [a, b, c, d] = linear(view)
  const e = size.width / 2 - a * view.x - c * view.y
  const f = size.height / 2 - b * view.x - d * view.y
  return [a, b, c, d, e, f]
}

export function toScreen([a, b, c, d, e, f], x, y) {
  return [a * x + c * y + e, b * x + d * y + f]
}

export function toImage([a, b, c, d, e, f], x, y) {
  const det = a * d - b * c
  const u = x - e
  const v = y - f
  return [(d * u - c * v) / det, (a * v - b * u) / det]
}

/** A box on the screen as {x, y, width, height}. */
export function rectOnScreen(m, xyxy, i) {
  const [x1, y1] = toScreen(m, xyxy[4 * i], xyxy[4 * i + 1])
  const [x2, y2] = toScreen(m, xyxy[4 * i + 2], xyxy[4 * i + 3])
  return {
    x: Math.min(x1, x2),
    y: Math.min(y1, y2),
    width: Math.abs(x2 - x1),
    height: Math.abs(y2 - y1),
  }
}

export function fitScale(view, size, frame) {
  const turned = view.turns % 2 === 1
  const width = turned ? frame.height : frame.width
  const height = turned ? frame.width : frame.height
  return Math.min(size.width / width, size.height / height) || 1
}

export function fit(view, size, frame) {
  view.scale = fitScale(view, size, frame)
  view.x = frame.width / 2
  view.y = frame.height / 2
  view.fitted = true
}

/** Keep the centre of the pane on the image and the scale within reason. */
function confine(view, size, frame) {
  const least = Math.min(fitScale(view, size, frame), 1) / 4
  view.scale = Math.min(Math.max(view.scale, least), MAX_SCALE)
  view.x = Math.min(Math.max(view.x, 0), frame.width)
  view.y = Math.min(Math.max(view.y, 0), frame.height)
}

/** Zoom by `factor` so that the image point under (x, y) of the pane stays there. */
export function zoomAt(view, size, frame, x, y, factor) {
  const [px, py] = toImage(matrix(view, size), x, y)
  view.scale *= factor
  confine(view, size, frame)
  const [qx, qy] = toImage(matrix(view, size), x, y)
  view.x += px - qx
  view.y += py - qy
  view.fitted = false
  confine(view, size, frame)
}

/** Move the image by (dx, dy) CSS pixels. */
export function panBy(view, size, frame, dx, dy) {
  const m = matrix(view, size)
  const [x0, y0] = toImage(m, 0, 0)
  const [x1, y1] = toImage(m, dx, dy)
  view.x -= x1 - x0
  view.y -= y1 - y0
  view.fitted = false
  confine(view, size, frame)
}

/** Put a box in the centre, large enough to be judged and small enough to be seen whole. */
export function centreOn(view, size, frame, xyxy, i) {
  const width = Math.max(xyxy[4 * i + 2] - xyxy[4 * i], 1)
  const height = Math.max(xyxy[4 * i + 3] - xyxy[4 * i + 1], 1)
  const whole = fitScale(view, size, { width, height })
  view.scale = Math.min(Math.max(view.scale, whole / 4), whole / 1.3)
  view.x = xyxy[4 * i] + width / 2
  view.y = xyxy[4 * i + 1] + height / 2
  view.fitted = false
  confine(view, size, frame)
}
