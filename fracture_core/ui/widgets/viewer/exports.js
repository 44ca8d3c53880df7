/** Files made in the browser: the shown findings as COCO JSON, the image with overlays as PNG. */

import { bannerHeight, bannerOf, drawBanner } from "./banner.js"
import { answerIn, exportedAnswer } from "./answers.js"
import { TABLE } from "./heatmap.js"
import { findingsOf } from "./findings.js"
import { pixelsOf } from "./masks.js"
import { drawOverlay } from "./overlay.js"
import { shade } from "./windows.js"

export const NOTICE = "Research use only. Not a medical device. Not for clinical decisions."

/** A name without anything a file system could stumble over. */
export function fileName(title, ending) {
  const plain = title.replace(/[^\w.-]+/g, "_").replace(/^[._]+|[._]+$/g, "")
  return `${plain.slice(0, 80) || "case"}${ending}`
}

function annotation(findings, position, id, imageId) {
  const { xyxy, scores, labels, masks } = findings.raw
  const [x1, y1, x2, y2] = xyxy.subarray(4 * position, 4 * position + 4)
  const mask = masks.length ? masks[position] : null
  return {
    id,
    image_id: imageId,
    category_id: labels[position],
    bbox: [x1, y1, x2 - x1, y2 - y1],
    area: mask ? pixelsOf(mask) : (x2 - x1) * (y2 - y1),
    iscrowd: 0,
    score: scores[position],
    ...(mask ? { segmentation: mask } : {}),
  }
}

/** The findings of one pane on all frames, by the filter in force. */
export function cocoOf(content, pane, state) {
  const annotations = []
  content.frames.forEach((frame, index) => {
    const findings = findingsOf(pane, frame, content.classes, { ...state, frame: index })
    for (const position of findings.shown) {
      annotations.push(annotation(findings, position, annotations.length + 1, index + 1))
    }
  })
  return {
    info: {
      description: NOTICE,
      ...(bannerOf(pane) ? { banner: bannerOf(pane) } : {}),
      model_id: pane.model_id,
      confidence: state.confidence,
      nms_iou: pane.needs_nms ? state.nms_iou : null,
      answer: exportedAnswer(answerIn(pane, state)),
      date_created: new Date().toISOString(),
    },
    images: content.frames.map((frame, index) => ({
      id: index + 1,
      file_name: frame.id,
      width: frame.width,
      height: frame.height,
    })),
    categories: pane.classes.map((name, label) => ({ id: label, name })),
    annotations,
  }
}

function paintWhole(context, image, window, inverted) {
  const data = context.createImageData(image.width, image.height)
  const words = new Uint32Array(data.data.buffer)
  const greys = new Uint8Array(2 ** image.bits)
  for (let value = 0; value < greys.length; value++) greys[value] = shade(window, value)
  for (let i = 0; i < words.length; i++) {
    const grey = inverted ? 255 - greys[image.pixels[i]] : greys[image.pixels[i]]
    words[i] = 0xff000000 | (grey << 16) | (grey << 8) | grey
  }
  context.putImageData(data, 0, 0)
}

/** A heat map {image, alpha} over the image. */
function paintMap(context, { image: { pixels, width, height }, alpha }) {
  const layer = document.createElement("canvas")
  layer.width = width
  layer.height = height
  const words = Uint32Array.from(pixels, (value) => TABLE.words[value])
  layer.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(words.buffer), width, height), 0, 0)
  context.globalAlpha = alpha
  context.drawImage(layer, 0, 0)
  context.globalAlpha = 1
}

/**
 * The whole image in its own pixels with the map and the marks, and below it the `banner`, if any
 * is needed, and a strip with `lines`.
 */
export function drawSheet(image, { window, inverted, map, marks, masks, opacity, banner, lines }) {
  const unit = Math.max(1, Math.min(image.width, image.height) / 900)
  const sheet = document.createElement("canvas")
  sheet.width = image.width
  const context = sheet.getContext("2d")
  context.font = stripFont(unit)
  const folded = (texts) => texts.flatMap((text) => wrap(context, text, image.width - 16 * unit))
  const wrapped = folded(lines)
  const warned = banner ? folded([banner]) : []
  const top = image.height + bannerHeight(warned, unit)
  sheet.height = top + Math.ceil(unit * (14 + 18 * wrapped.length))
  paintWhole(context, image, window, inverted)
  if (map) paintMap(context, map)
  const layer = document.createElement("canvas")
  layer.width = image.width
  layer.height = image.height
  const size = { width: image.width / unit, height: image.height / unit }
  const matrix = [1 / unit, 0, 0, 1 / unit, 0, 0]
  const font = "600 12px system-ui, sans-serif"
  drawOverlay(layer.getContext("2d"), marks, { matrix, size, ratio: unit, opacity, masks, font, patient: true })
  context.drawImage(layer, 0, 0)
  drawBanner(context, warned, { top: image.height, unit, font: stripFont(unit) })
  drawStrip(context, wrapped, top, unit)
  return sheet
}

const stripFont = (unit) => `${12 * unit}px system-ui, sans-serif`

/** The words of a line in as many lines as its width needs. */
function wrap(context, line, width) {
  const lines = [""]
  for (const word of line.split(" ")) {
    const longer = lines.at(-1) ? `${lines.at(-1)} ${word}` : word
    if (lines.at(-1) && context.measureText(longer).width > width) lines.push(word)
    else lines[lines.length - 1] = longer
  }
  return lines
}

function drawStrip(context, lines, top, unit) {
  context.fillStyle = "#000"
  context.fillRect(0, top, context.canvas.width, context.canvas.height - top)
  context.fillStyle = "#e8ecef"
  context.textBaseline = "middle"
  context.font = stripFont(unit)
  lines.forEach((line, n) => {
    const y = top + unit * (16 + 18 * n)
    context.fillText(line, 8 * unit, y, context.canvas.width - 16 * unit)
  })
}

/** Hand a file to the reader. */
export function save(blob, name) {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10000)
}
