/** The settings that decide what is shown: three sliders, each with a number, and the match rule. */

import { element, setText } from "./elements.js"
import { fixed } from "./findings.js"

/** A typed number, with a comma or a point as decimal sign; null when it is none. */
export function parseNumber(text) {
  const plain = text.trim().replace(",", ".")
  return /^[+-]?(\d+\.?\d*|\.\d+)$/.test(plain) ? Number(plain) : null
}

/**
 * A slider with a number beside it. `onInput(value)` is called during the drag, `onCommit(value)`
 * once on release or when a typed number is confirmed.
 */
export class NumberSlider {
  constructor({ name, label, help, least, most, onInput, onCommit }) {
    Object.assign(this, { least, most, onInput, onCommit })
    this.value = least
    this.range = element("input", { type: "range", min: least, max: most, step: "any", "aria-label": label, "data-control": name })
    this.number = element("input", { type: "text", inputmode: "decimal", "aria-label": `${label}, number`, "data-number": name, maxlength: 8, autocomplete: "off", spellcheck: "false" })
    this.note = element("p", { class: "note" })
    this.back = element("div", { class: "back" })
    const head = element("div", { class: "control-head" }, element("label", { title: help }, label), this.number)
    this.root = element("div", { class: "control", "data-name": name, title: help }, head, element("div", { class: "track" }, this.back, this.range), this.note)
    this.range.oninput = () => this.take(Math.round(Number(this.range.value) * 100) / 100)
    this.range.onchange = () => this.onCommit(this.value)
    this.number.onchange = () => this.takeTyped()
    this.number.onfocus = () => this.number.select()
    this.number.onkeydown = (event) => this.nudge(event)
  }

  take(value) {
    this.show(Math.min(Math.max(value, this.least), this.most))
    this.onInput(this.value)
  }

  takeTyped() {
    const typed = parseNumber(this.number.value)
    if (typed === null) return this.show(this.value)
    this.take(typed)
    return this.onCommit(this.value)
  }

  nudge(event) {
    // A confirmed number gives the keys back to the viewer.
    if (event.key === "Enter") this.number.blur()
    const step = { ArrowUp: 0.01, ArrowDown: -0.01 }[event.key]
    if (!step) return
    event.preventDefault()
    this.take(Math.round((this.value + step) * 1e6) / 1e6)
    this.onCommit(this.value)
  }

  show(value) {
    // A redraw of the same value must not overwrite what is being typed.
    const typing = value === this.value && this.number.matches(":focus")
    this.value = value
    this.range.value = value
    if (!typing) this.number.value = fixed(value)
    const share = (value - this.least) / (this.most - this.least)
    this.root.style.setProperty("--share", `${100 * share}%`)
  }

  enable(enabled, note = "") {
    this.range.disabled = this.number.disabled = !enabled
    this.root.classList.toggle("off", !enabled)
    setText(this.note, note)
  }
}

const BINS = 50

/** Candidates by score, drawn behind the confidence slider; heights are square roots of counts. */
export class Histogram {
  constructor() {
    this.root = element("canvas", { class: "histogram", width: 200, height: 22, "aria-hidden": "true" })
    this.counts = new Float64Array(BINS)
  }

  fill(scores) {
    this.counts.fill(0)
    this.colour = getComputedStyle(this.root).color
    for (const score of scores) this.counts[Math.min(Math.floor(score * BINS), BINS - 1)]++
  }

  draw(confidence) {
    const context = this.root.getContext("2d")
    const { width, height } = this.root
    const tallest = Math.sqrt(Math.max(...this.counts, 1))
    context.clearRect(0, 0, width, height)
    context.fillStyle = this.colour
    this.counts.forEach((count, n) => {
      if (!count) return
      const tall = Math.max(2, (Math.sqrt(count) / tallest) * height)
      context.globalAlpha = (n + 1) / BINS > confidence ? 0.8 : 0.3
      context.fillRect((n * width) / BINS, height - tall, width / BINS - 1, tall)
    })
  }
}

/** All settings of the column; `change(part)` during, `commit()` after. */
export class Controls {
  constructor({ change, commit }) {
    const slider = (name, label, help, least = 0, most = 1) =>
      new NumberSlider({ name, label, help, least, most, onInput: (value) => change({ [name]: value }), onCommit: commit })
    this.confidence = slider("confidence", "Confidence", "Candidates scored lower are hidden")
    this.nms = slider("nms_iou", "Overlap merge (NMS IoU)", "Of candidates of one class that overlap more than this, only the best is shown; 1 merges none")
    this.match = slider("match_iou", "Match IoU", "How much a finding must overlap a truth to count as a match; changes the judgement, never what is shown")
    this.histogram = new Histogram()
    this.confidence.back.append(this.histogram.root)
    const set = (part) => {
      change(part)
      commit()
    }
    const chooseRule = () => {
      this.rule.blur()
      set({ rule: this.rule.value })
    }
    this.rule = element("select", { "aria-label": "Match rule", onchange: chooseRule },
      element("option", { value: "iou" }, "by IoU"),
      element("option", { value: "centre" }, "centre inside truth"))
    this.classAware = element("input", { type: "checkbox", onchange: () => set({ class_aware: this.classAware.checked }) })
    this.sameClass = element("label", { class: "check", title: "Only findings of the truth's class can match it" }, this.classAware, "same class")
    const how = element("div", { class: "how" }, element("span", {}, "Match"), this.rule, this.sameClass)
    this.root = element("section", { class: "controls", "aria-label": "Settings" }, this.confidence.root, this.nms.root, this.match.root, how)
  }

  show(state, { needsNms, judged, comparable }) {
    this.confidence.show(state.confidence)
    this.nms.show(state.nms_iou)
    this.match.show(state.match_iou)
    this.rule.value = state.rule
    this.classAware.checked = state.class_aware && comparable
    this.classAware.disabled = !comparable
    this.sameClass.title = comparable ? "Only findings of the truth's class can match it" : "The model and the truth have different classes, so classes are not compared"
    this.nms.enable(needsNms, needsNms ? "" : "Not needed: this model proposes each finding once.")
    const byCentre = state.rule === "centre"
    this.match.enable(judged && !byCentre, !judged ? "No truth to match with." : byCentre ? "Not used: the centre decides." : "")
    this.histogram.draw(state.confidence)
  }
}
