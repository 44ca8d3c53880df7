/** Masks: COCO run-length codes → outlines that draw crisply at any zoom. */

/** COCO's compressed string → run lengths, column by column, alternating 0 and 1. */
export function runLengths(counts) {
  const runs = []
  let at = 0
  while (at < counts.length) {
    let value = 0
    let shift = 0
    let more = true
    while (more) {
      const code = counts.charCodeAt(at++) - 48
      value |= (code & 31) << shift
      shift += 5
      more = (code & 32) !== 0
      if (!more && code & 16) value |= -1 << shift
    }
    if (runs.length > 2) value += runs[runs.length - 2]
    runs.push(value)
  }
  return runs
}

/** The mask cut to its own bounds with a rim of one empty pixel: {x, y, width, height, bits}. */
export function cropOf({ size: [height, width], counts }) {
  const spans = []
  let position = 0
  runLengths(counts).forEach((length, n) => {
    if (n % 2 === 1 && length > 0) spans.push([position, Math.min(position + length, height * width)])
    position += length
  })
  if (spans.length === 0) return null
  const bounds = boundsOf(spans, height)
  const crop = { x: bounds.x - 1, y: bounds.y - 1, width: bounds.w + 2, height: bounds.h + 2 }
  crop.bits = new Uint8Array(crop.width * crop.height)
  for (const [start, end] of spans) {
    for (let p = start; p < end; p++) {
      const column = Math.floor(p / height)
      crop.bits[(p - column * height - crop.y) * crop.width + column - crop.x] = 1
    }
  }
  return crop
}

function boundsOf(spans, height) {
  const x = Math.floor(spans[0][0] / height)
  const right = Math.floor((spans[spans.length - 1][1] - 1) / height)
  let y = height
  let bottom = -1
  for (const [start, end] of spans) {
    const column = Math.floor(start / height)
    const spills = Math.floor((end - 1) / height) > column
    y = Math.min(y, spills ? 0 : start % height)
    bottom = Math.max(bottom, spills ? height - 1 : (end - 1) % height)
  }
  return { x, y, w: right - x + 1, h: bottom - y + 1 }
}

// Directions right, down, left, up; walking with the mask on the right hand.
const STEP_X = [1, 0, -1, 0]
const STEP_Y = [0, 1, 0, -1]

/** One closed line along the pixel edges, from the top edge of pixel (x, y); marks top edges. */
function walk(crop, seen, x0, y0) {
  const inside = (x, y) => crop.bits[y * crop.width + x] === 1
  const corners = []
  let [x, y, direction] = [x0, y0, 0]
  do {
    if (direction === 0) seen[y * crop.width + x] = 1
    x += STEP_X[direction]
    y += STEP_Y[direction]
    // The pixels ahead of the corner, on the left and on the right of the line.
    const left = [inside(x, y - 1), inside(x, y), inside(x - 1, y), inside(x - 1, y - 1)][direction]
    const right = [inside(x, y), inside(x - 1, y), inside(x - 1, y - 1), inside(x, y - 1)][direction]
    const turn = !right ? 1 : left ? 3 : 0
    if (turn) corners.push([x + crop.x, y + crop.y])
    direction = (direction + turn) % 4
  } while (x !== x0 || y !== y0 || direction !== 0)
  return corners
}

/** Every outline of a mask, holes too, as lists of corners [x, y] in image pixels. */
export function outlinesOf(code) {
  const crop = cropOf(code)
  if (!crop) return []
  const seen = new Uint8Array(crop.bits.length)
  const lines = []
  for (let y = 1; y < crop.height; y++) {
    for (let x = 1; x < crop.width; x++) {
      const at = y * crop.width + x
      const topEdge = crop.bits[at] && !crop.bits[at - crop.width]
      if (topEdge && !seen[at]) lines.push(walk(crop, seen, x, y))
    }
  }
  return lines
}

/** How many pixels the mask covers. */
export function pixelsOf({ counts }) {
  return runLengths(counts).reduce((sum, length, n) => (n % 2 === 1 ? sum + length : sum), 0)
}

const paths = new WeakMap()

/**
 * The mask as a Path2D in image pixels, made once; null when it is not made yet and `deadline`
 * (performance.now() milliseconds) has passed: draw it in the next frame.
 */
export function pathOf(code, deadline) {
  if (!paths.has(code)) {
    if (performance.now() > deadline) return null
    const path = new Path2D()
    for (const corners of outlinesOf(code)) {
      corners.forEach(([x, y], n) => (n ? path.lineTo(x, y) : path.moveTo(x, y)))
      path.closePath()
    }
    paths.set(code, path)
  }
  return paths.get(code)
}
