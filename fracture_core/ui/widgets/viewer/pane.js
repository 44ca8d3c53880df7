/** One pane: the image, the overlay above it, a title and, where needed, a note. */

import { element, setText } from "./elements.js"
import { TABLE } from "./heatmap.js"
import { drawOverlay, drawScaleBar, markAt } from "./overlay.js"
import { Painter } from "./grey_image.js"
import { scoreList } from "./score_list.js"
import { matrix } from "./view.js"

export class PaneView {
  constructor(onResize) {
    this.image = element("canvas", { class: "image" })
    this.heatmap = element("canvas", { class: "heatmap", hidden: true })
    this.overlay = element("canvas", { class: "overlay" })
    this.letter = element("span", { class: "pane-letter" })
    this.title = element("span", { class: "pane-title" })
    this.facts = element("span", { class: "pane-facts" })
    this.dial = element("span", { class: "pane-dial" })
    this.warnings = element("span", { class: "pane-warnings" })
    this.answerWords = element("span")
    this.answer = element("p", { class: "pane-answer", hidden: true }, this.answerWords)
    this.scores = element("div", { class: "pane-scores", hidden: true })
    this.note = element("p", { class: "pane-note", role: "status" })
    this.root = element("div", { class: "pane" }, this.image, this.heatmap, this.overlay,
      element("div", { class: "pane-head" }, this.letter, this.title, this.facts, this.warnings, this.answer, this.scores, this.dial), this.note)
    this.painter = new Painter()
    this.mapPainter = new Painter({ sheer: true })
    this.contexts = [this.image, this.overlay, this.heatmap].map((canvas) => canvas.getContext("2d"))
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
    for (const canvas of [this.image, this.overlay, this.heatmap]) {
      canvas.width = Math.round(size.width * ratio)
      canvas.height = Math.round(size.height * ratio)
    }
    return true
  }

  /** `letter`, `facts`, `scores` and `chosen` are there where models are compared. */
  show({ title, warnings, letter = "", facts = [], scores = null, chosen = false }) {
    setText(this.letter, letter)
    this.letter.hidden = !letter
    setText(this.title, title)
    this.title.title = title
    setText(this.facts, facts.join(" · "))
    this.root.classList.toggle("chosen", chosen)
    if (this.shownScores !== scores) this.showScores(scores)
    setText(this.warnings, warnings.join(" · "))
    this.warnings.title = warnings.join("\n")
  }

  /** Where the dial takes this model. */
  tell(words) {
    setText(this.dial, words)
  }

  /** The answer to the case, {kind, sign, words}; null = there is none. */
  showAnswer(answer) {
    this.answer.hidden = !answer
    this.answer.dataset.kind = answer?.kind ?? ""
    setText(this.answerWords, answer ? `${answer.sign} ${answer.words}` : "")
  }

  showScores(scores) {
    this.shownScores = scores
    this.scores.hidden = !scores
    this.scores.replaceChildren(...(scores ? [scoreList(...scores)] : []))
  }

  setNote(text) {
    setText(this.note, text)
    this.note.hidden = text === ""
  }

  paint(image, lut, look, swift) {
    if (!image) {
      this.contexts[0].setTransform(1, 0, 0, 1, 0, 0)
      this.contexts[0].clearRect(0, 0, this.image.width, this.image.height)
      return
    }
    const scene = { view: look.view, size: this.size, ratio: this.ratio, smooth: look.smooth, swift }
    this.painter.paint(this.contexts[0], image, lut, scene)
  }

  /** The heat map {image, weight} over the image, or none (null). */
  paintMap(map, look, { opacity, swift }) {
    this.heatmap.hidden = map === null
    if (!map) return
    this.heatmap.style.opacity = opacity * map.weight
    const scene = { view: look.view, size: this.size, ratio: this.ratio, smooth: true, swift }
    this.mapPainter.paint(this.contexts[2], map.image, TABLE, scene)
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
