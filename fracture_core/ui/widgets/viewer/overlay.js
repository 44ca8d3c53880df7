/**
 * Boxes, masks and tags above the picture. Colour and a short tag tell the kind, the line style
 * tells the certainty; colours are Okabe and Ito's, which colour-blind readers can tell apart.
 */

import { pathOf } from "./masks.js"
import { rectOnScreen, toScreen } from "./view.js"

export const COLOURS = {
  truth: "#56b4e9",
  "true positive": "#009e73",
  "false positive": "#d55e00",
  missed: "#f0e442",
  duplicate: "#cc79a7",
  finding: "#e8ecef",
  candidate: "#e8ecef",
  lacking: "#aeb7bf",
}
const OURS = { ...COLOURS }

/** Takes colours by kind from the page, in place of our own or of others taken before. */
export function takeColours(colours) {
  Object.assign(COLOURS, OURS, colours)
}

// Small letters need more light than lines do.
const WORD_COLOURS = { "true positive": "#2fd6a8", "false positive": "#ff8f4d" }
/** A colour that was swapped is its own for letters as well. */
const letterColour = (kind) => (COLOURS[kind] === OURS[kind] && WORD_COLOURS[kind]) || COLOURS[kind]
export const TAGS = {
  truth: "GT",
  "true positive": "TP",
  "false positive": "FP",
  missed: "missed",
  duplicate: "dup",
}
const DASHES = { solid: [], dashed: [7, 5], dotted: [2, 4] }
const MOST_TAGS = 60
const MASK_MILLISECONDS = 6

function strokeRect(context, rect, { colour, width, dash }) {
  context.setLineDash(dash)
  context.lineWidth = width + 2
  context.strokeStyle = "rgba(0, 0, 0, 0.6)"
  context.strokeRect(rect.x, rect.y, rect.width, rect.height)
  context.lineWidth = width
  context.strokeStyle = colour
  context.strokeRect(rect.x, rect.y, rect.width, rect.height)
}

const grown = (rect, by) => ({
  x: rect.x - by,
  y: rect.y - by,
  width: rect.width + 2 * by,
  height: rect.height + 2 * by,
})

/** Thin double line: the truth, wherever it is drawn. */
function strokeDouble(context, rect, colour) {
  strokeRect(context, grown(rect, 3), { colour, width: 1, dash: [] })
  strokeRect(context, rect, { colour, width: 1, dash: [] })
}

/** Ticks across the corners, so that a missed truth is told without its colour. */
function strokeCorners(context, rect, colour) {
  const reach = 7
  context.setLineDash([])
  context.lineWidth = 2
  context.strokeStyle = colour
  context.beginPath()
  for (const [x, sx] of [[rect.x, -1], [rect.x + rect.width, 1]]) {
    for (const [y, sy] of [[rect.y, -1], [rect.y + rect.height, 1]]) {
      context.moveTo(x + 2 * sx, y + 2 * sy)
      context.lineTo(x + (reach + 3) * sx, y + (reach + 3) * sy)
    }
  }
  context.stroke()
}

/** Only the corners, thin: here others found something. All in one go, for there may be hundreds. */
function strokeBrackets(context, rects, colour) {
  const line = (lineWidth, style) => {
    context.lineWidth = lineWidth
    context.strokeStyle = style
    context.stroke()
  }
  context.setLineDash([])
  context.beginPath()
  for (const { x, y, width, height } of rects) {
    const reach = Math.min(12, width / 3, height / 3)
    for (const [cornerX, sx] of [[x, 1], [x + width, -1]]) {
      for (const [cornerY, sy] of [[y, 1], [y + height, -1]]) {
        context.moveTo(cornerX + reach * sx, cornerY)
        context.lineTo(cornerX, cornerY)
        context.lineTo(cornerX, cornerY + reach * sy)
      }
    }
  }
  line(3, "rgba(0, 0, 0, 0.6)")
  line(1, colour)
}

/** A disc at the corner: full where all models found this, hollow where only some did. */
function drawDisc(context, { x, y }, colour, full) {
  context.setLineDash([])
  context.lineWidth = 2
  context.strokeStyle = colour
  context.fillStyle = full ? colour : "#000"
  context.beginPath()
  context.arc(x, y, 4.5, 0, 2 * Math.PI)
  context.fill()
  context.stroke()
}

function drawBox(context, mark) {
  const colour = COLOURS[mark.kind]
  if (mark.kind === "truth" || mark.kind === "missed") {
    strokeDouble(context, mark.rect, colour)
    if (mark.kind === "missed") strokeCorners(context, mark.rect, colour)
  } else if (mark.kind !== "lacking") {
    strokeRect(context, mark.rect, { colour, width: mark.line === "dotted" ? 1.5 : 2, dash: DASHES[mark.line] })
    if (mark.found) drawDisc(context, mark.rect, colour, mark.found === "all")
  }
  if (mark.chosen) strokeRect(context, grown(mark.rect, 5), { colour: "#fff", width: 1, dash: [2, 3] })
  if (mark.lit) strokeRect(context, grown(mark.rect, 5), { colour: "#fff", width: 1.5, dash: [] })
}

/** Fill lightly and outline; false when the mask must wait for the next frame. */
function drawMask(context, mark, m, ratio, opacity, deadline) {
  const path = pathOf(mark.mask, deadline)
  if (!path) return false
  context.save()
  context.transform(...m)
  const colour = COLOURS[mark.kind]
  context.globalAlpha = opacity
  context.fillStyle = colour
  context.fill(path, "evenodd")
  context.globalAlpha = 1
  context.setLineDash([])
  context.lineWidth = 1.5 / Math.hypot(m[0], m[1])
  context.strokeStyle = colour
  context.stroke(path)
  context.restore()
  return true
}

const overlaps = (a, b) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height

/** Places for a tag outside its box, best first; the last resort is inside, at the top. */
function placesFor(rect, width, height, gap) {
  const right = rect.x + rect.width
  const bottom = rect.y + rect.height
  return [
    [rect.x, rect.y - height - gap],
    [right - width, rect.y - height - gap],
    [rect.x, bottom + gap],
    [right - width, bottom + gap],
    [right + gap, rect.y],
    [rect.x - width - gap, rect.y],
    [right + gap, bottom - height],
    [rect.x - width - gap, bottom - height],
    [rect.x, rect.y - 2 * height - gap - 2],
    [rect.x, bottom + height + gap + 2],
  ].map(([x, y]) => ({ x, y, width, height }))
}

function inPane(place, size) {
  const maxX = size.width - place.width - 1
  const maxY = size.height - place.height - 1
  return { ...place, x: Math.max(1, Math.min(place.x, maxX)), y: Math.max(1, Math.min(place.y, maxY)) }
}

/** The first place that is whole in the pane, off its own box and free of other tags. */
function placeTag(rect, width, height, size, taken) {
  const gap = 6
  const places = placesFor(rect, width, height, gap).map((place) => inPane(place, size))
  const outside = places.filter((place) => !overlaps(place, rect))
  const free = outside.find((place) => !taken.some((other) => overlaps(place, other)))
  return free ?? outside[0] ?? places[0]
}

function drawTag(context, mark, size, taken) {
  const height = 17
  const width = Math.ceil(context.measureText(mark.tag).width) + 8
  const place = placeTag(mark.rect, width, height, size, taken)
  taken.push(place)
  context.fillStyle = mark.lit ? "#fff" : "rgba(0, 0, 0, 0.72)"
  context.fillRect(place.x, place.y, width, height)
  context.fillStyle = COLOURS[mark.kind]
  context.fillRect(place.x, place.y, 2, height)
  context.fillStyle = mark.lit ? "#000" : letterColour(mark.kind)
  context.fillText(mark.tag, place.x + 5, place.y + height / 2 + 0.5)
}

/**
 * Draw `marks`: {kind, line, xyxy, index, tag, mask, lit}. `scene` is {matrix, size, ratio,
 * opacity, masks, font, patient: whether to wait for every mask}. Returns whether everything could be drawn in this frame.
 */
export function drawOverlay(context, marks, scene) {
  const { matrix: m, size, ratio } = scene
  context.setTransform(ratio, 0, 0, ratio, 0, 0)
  context.clearRect(0, 0, size.width, size.height)
  const pane = { x: -8, y: -8, width: size.width + 16, height: size.height + 16 }
  const seen = []
  for (const mark of marks) {
    mark.rect = rectOnScreen(m, mark.xyxy, mark.index)
    if (overlaps(mark.rect, pane)) seen.push(mark)
  }
  const deadline = performance.now() + (scene.patient ? Infinity : MASK_MILLISECONDS)
  let complete = true
  if (scene.masks) {
    for (const mark of seen) {
      if (mark.mask) complete = drawMask(context, mark, m, ratio, scene.opacity, deadline) && complete
    }
  }
  // From the bottom up: truths, findings with the best last, whatever is pointed at.
  const rank = (mark) => (mark.lit ? 2 : mark.id[0] === "t" || mark.kind === "lacking" ? 0 : 1)
  const order = seen.map((mark, n) => ({ mark, rank: rank(mark), n }))
  order.sort((a, b) => a.rank - b.rank || b.n - a.n)
  const lacking = seen.filter((mark) => mark.kind === "lacking").map(({ rect }) => rect)
  if (lacking.length) strokeBrackets(context, lacking, COLOURS.lacking)
  for (const { mark } of order) drawBox(context, mark)
  drawTags(context, seen, scene)
  return complete
}

function drawTags(context, seen, { size, font }) {
  context.font = font
  context.textBaseline = "middle"
  const taken = []
  const tagged = seen.filter((mark, n) => mark.tag && (n < MOST_TAGS || mark.lit))
  for (const mark of [...tagged].sort((a, b) => b.lit - a.lit)) drawTag(context, mark, size, taken)
}

/** The mark under a point of the pane: the smallest box that holds it or whose line is near. */
export function markAt(marks, x, y) {
  const reach = 5
  const hit = marks.filter(({ rect }) => {
    const near = grown(rect, reach)
    return x >= near.x && y >= near.y && x <= near.x + near.width && y <= near.y + near.height
  })
  const area = ({ rect }) => rect.width * rect.height
  return hit.length ? hit.reduce((a, b) => (area(b) < area(a) ? b : a)) : null
}

const LENGTHS_MM = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200]

/** A bar of a round length in mm, at most a quarter of the pane. */
export function drawScaleBar(context, scene, spacingMm) {
  const { matrix: m, size } = scene
  const [x0, y0] = toScreen(m, 0, 0)
  const [x1, y1] = toScreen(m, 1, 0)
  const acrossMm = Math.abs(x1 - x0) > Math.abs(y1 - y0) ? spacingMm[1] : spacingMm[0]
  const pixelsPerMm = Math.hypot(m[0], m[1]) / acrossMm
  const length = LENGTHS_MM.findLast((mm) => mm * pixelsPerMm <= size.width / 4)
  if (!length) return
  const width = length * pixelsPerMm
  const right = size.width - 14
  const y = size.height - 14
  const line = () => {
    context.beginPath()
    context.moveTo(right - width, y - 5)
    context.lineTo(right - width, y)
    context.lineTo(right, y)
    context.lineTo(right, y - 5)
    context.stroke()
  }
  context.setLineDash([])
  context.strokeStyle = "rgba(0, 0, 0, 0.7)"
  context.lineWidth = 3.5
  line()
  context.strokeStyle = "#e8ecef"
  context.lineWidth = 1.5
  line()
  context.font = scene.font
  context.textBaseline = "alphabetic"
  const text = `${length} mm`
  context.fillStyle = "#e8ecef"
  context.shadowColor = "#000"
  context.shadowBlur = 3
  context.fillText(text, right - width / 2 - context.measureText(text).width / 2, y - 7)
  context.shadowBlur = 0
}
