/** One pane: the picture, the overlay above it, a title and, where needed, a note. */

import { element, setText } from "./elements.js"
import { drawOverlay, drawScaleBar, markAt } from "./overlay.js"
import { Painter } from "./picture.js"
import { matrix } from "./view.js"

export class PaneView {
  constructor(onResize) {
    this.picture = element("canvas", { class: "picture" })
    this.overlay = element("canvas", { class: "overlay" })
    this.title = element("span", { class: "pane-title" })
    this.warnings = element("span", { class: "pane-warnings" })
    this.note = element("p", { class: "pane-note", role: "status" })
    this.root = element("div", { class: "pane" }, this.picture, this.overlay,
      element("div", { class: "pane-head" }, this.title, this.warnings), this.note)
    this.painter = new Painter()
    this.contexts = [this.picture, this.overlay].map((canvas) => canvas.getContext("2d"))
    this.size = { width: 1, height: 1 }
    this.ratio = 1
    this.font = ""
    this.marks = []
    this.watch = new ResizeObserver(() => this.measure() && onResize())
    this.watch.observe(this.root)
  }

  /** Take the size of the element; whether it has changed. */
  measure() {
    const size = { width: this.root.clientWidth, height: this.root.clientHeight }
    const ratio = window.devicePixelRatio || 1
    const same = size.width === this.size.width && size.height === this.size.height
    if (!size.width || !size.height || (same && ratio === this.ratio)) return false
    this.size = size
    this.ratio = ratio
    this.font = `600 12px ${getComputedStyle(this.root).fontFamily}`
    for (const canvas of [this.picture, this.overlay]) {
      canvas.width = Math.round(size.width * ratio)
      canvas.height = Math.round(size.height * ratio)
    }
    return true
  }

  show({ title, warnings }) {
    setText(this.title, title)
    setText(this.warnings, warnings.join(" · "))
    this.warnings.title = warnings.join("\n")
  }

  setNote(text) {
    setText(this.note, text)
    this.note.hidden = text === ""
  }

  paint(picture, lut, look, swift) {
    if (!picture) {
      this.contexts[0].setTransform(1, 0, 0, 1, 0, 0)
      this.contexts[0].clearRect(0, 0, this.picture.width, this.picture.height)
      return
    }
    const scene = { view: look.view, size: this.size, ratio: this.ratio, smooth: look.smooth, swift }
    this.painter.paint(this.contexts[0], picture, lut, scene)
  }

  /** Whether everything could be drawn in this frame. */
  mark(marks, look, { opacity, masks, spacingMm }) {
    this.marks = marks
    const { size, ratio, font } = this
    const scene = { matrix: matrix(look.view, size), size, ratio, opacity, masks, font }
    const complete = drawOverlay(this.contexts[1], marks, scene)
    if (spacingMm) drawScaleBar(this.contexts[1], scene, spacingMm)
    return complete
  }

  markUnder(x, y) {
    return markAt(this.marks.filter((mark) => mark.rect), x, y)
  }

  close() {
    this.watch.disconnect()
    this.root.remove()
  }
}
