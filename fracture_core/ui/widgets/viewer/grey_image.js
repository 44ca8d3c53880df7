/** Images on the full bit depth: fetched once, shrunk once, shown through a table of greys. */

import { matrix, toImage } from "./view.js"

let serials = 0

/** Grey pixels, 8 or 16 bits, with half-size copies made when first needed. */
export class GreyImage {
  constructor(pixels, width, height) {
    this.serial = ++serials
    this.pixels = pixels
    this.width = width
    this.height = height
    this.bits = pixels instanceof Uint16Array ? 16 : 8
    this.levels = [{ pixels, width, height }]
  }

  level(k) {
    while (this.levels.length <= k) this.levels.push(halve(this.levels[this.levels.length - 1]))
    return this.levels[k]
  }

  at(x, y) {
    const inside = x >= 0 && y >= 0 && x < this.width && y < this.height
    return inside ? this.pixels[Math.floor(y) * this.width + Math.floor(x)] : null
  }
}

/** Average 2 × 2 pixels; an odd last row or column is averaged with itself. */
function halve({ pixels, width, height }) {
  const w = (width + 1) >> 1
  const h = (height + 1) >> 1
  const half = new pixels.constructor(w * h)
  for (let y = 0; y < h; y++) {
    const top = 2 * y * width
    const below = Math.min(2 * y + 1, height - 1) * width
    for (let x = 0; x < w; x++) {
      const left = 2 * x
      const right = Math.min(left + 1, width - 1)
      const sum = pixels[top + left] + pixels[top + right] + pixels[below + left] + pixels[below + right]
      half[y * w + x] = (sum + 2) >> 2
    }
  }
  return { pixels: half, width: w, height: h }
}

/** Raw little-endian pixels from `url`; an error's message is a sentence for the reader. */
export async function loadImage(url, frame) {
  const response = await fetch(url)
  if (response.status === 422) throw new Error(await response.text())
  if (!response.ok) throw new Error("The image is no longer kept by the server. Reload the page.")
  const bytes = await response.arrayBuffer()
  const count = frame.width * frame.height
  const Kind = { [count]: Uint8Array, [2 * count]: Uint16Array }[bytes.byteLength]
  if (!Kind) throw new Error(`Expected ${count} pixels, found ${bytes.byteLength} bytes.`)
  return new GreyImage(new Kind(bytes), frame.width, frame.height)
}

/**
 * Shows an image in one canvas; one painter a pane, so that its scratch canvas is reused. A `sheer`
 * one lets through what lies behind, as far as the table says.
 */
export class Painter {
  constructor({ sheer = false } = {}) {
    this.sheer = sheer
    this.scratch = document.createElement("canvas")
    this.context = this.scratch.getContext("2d", { alpha: sheer })
    this.words = new Uint32Array(0)
    this.held = ""
  }

  /** The part (x, y, w, h) of a level, through the table, onto the scratch canvas. */
  develop(image, k, part, lut) {
    const held = [image.serial, k, part.x, part.y, part.w, part.h, lut.serial].join()
    if (held === this.held) return
    const level = image.level(k)
    const { w, h } = part
    if (this.words.length < w * h) this.words = new Uint32Array(w * h)
    shadeRows(level, part, lut.words, this.words)
    if (this.scratch.width < w || this.scratch.height < h) {
      this.scratch.width = Math.max(this.scratch.width, w)
      this.scratch.height = Math.max(this.scratch.height, h)
    }
    const bytes = new Uint8ClampedArray(this.words.buffer, 0, 4 * w * h)
    this.context.putImageData(new ImageData(bytes, w, h), 0, 0)
    this.held = held
  }

  clear(context) {
    const { width, height } = context.canvas
    if (this.sheer) return context.clearRect(0, 0, width, height)
    context.fillStyle = "#000"
    return context.fillRect(0, 0, width, height)
  }

  /**
   * Paint the visible part. `size` is the pane in CSS pixels, `ratio` device pixels per CSS pixel;
   * `swift` prefers speed, for the frames of a movement.
   */
  paint(context, image, lut, { view, size, ratio, smooth, swift }) {
    context.setTransform(1, 0, 0, 1, 0, 0)
    this.clear(context)
    const shrink = Math.log2(1 / (view.scale * ratio))
    const deepest = Math.floor(Math.log2(Math.min(image.width, image.height)))
    const k = Math.min(Math.max(swift ? Math.round(shrink) : Math.floor(shrink), 0), deepest)
    const part = visiblePart(image.level(k), 2 ** k, view, size)
    if (!part) return
    this.develop(image, k, part, lut)
    const [a, b, c, d, e, f] = matrix(view, size).map((value) => value * ratio)
    context.setTransform(a, b, c, d, e, f)
    context.imageSmoothingEnabled = smooth || view.scale * ratio < 4
    context.imageSmoothingQuality = swift ? "low" : "medium"
    const { x, y, w, h } = part
    context.drawImage(this.scratch, 0, 0, w, h, x << k, y << k, w << k, h << k)
  }
}

function shadeRows(level, { x, y, w, h }, table, words) {
  const { pixels, width } = level
  let out = 0
  for (let row = 0; row < h; row++) {
    let at = (y + row) * width + x
    for (const end = at + w; at < end; at++) words[out++] = table[pixels[at]]
  }
}

/** The pixels of a level that can be seen, one more on each side for smoothing; null = none. */
function visiblePart(level, factor, view, size) {
  const m = matrix(view, size)
  const [ax, ay] = toImage(m, 0, 0)
  const [bx, by] = toImage(m, size.width, size.height)
  const x = Math.max(Math.floor(Math.min(ax, bx) / factor) - 1, 0)
  const y = Math.max(Math.floor(Math.min(ay, by) / factor) - 1, 0)
  const w = Math.min(Math.ceil(Math.max(ax, bx) / factor) + 1, level.width) - x
  const h = Math.min(Math.ceil(Math.max(ay, by) / factor) + 1, level.height) - y
  return w > 0 && h > 0 ? { x, y, w, h } : null
}
