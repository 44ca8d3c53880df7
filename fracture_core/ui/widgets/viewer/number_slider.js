/** A slider with a number beside it. */

import { element, setText } from "./elements.js"
import { fixed } from "./measured_words.js"

/** A typed number, with a comma or a point as decimal sign; null when it is none. */
export function parseNumber(text) {
  const plain = text.trim().replace(",", ".")
  return /^[+-]?(\d+\.?\d*|\.\d+)$/.test(plain) ? Number(plain) : null
}

/**
 * `onInput(value)` is called during the drag, `onCommit(value)` once on release or when a typed
 * number is confirmed. The slider itself goes from 0 to 1, whatever its values are.
 */
export class NumberSlider {
  constructor({ name, label, help, onInput, onCommit }) {
    Object.assign(this, { onInput, onCommit })
    this.value = 0
    // Values that the slider meets exactly although it goes by hundredths.
    this.stops = []
    this.range = element("input", { type: "range", min: 0, max: 1, step: "any", "data-control": name })
    this.number = element("input", { type: "text", inputmode: "decimal", "data-number": name, maxlength: 8, autocomplete: "off", spellcheck: "false" })
    this.note = element("p", { class: "note" })
    this.back = element("div", { class: "back" })
    this.label = element("label")
    this.head = element("div", { class: "control-head" }, this.label, this.number)
    this.track = element("div", { class: "track" }, this.back, this.range)
    this.root = element("div", { class: "control", "data-name": name }, this.head, this.track, this.note)
    this.measure({ label, help })
    this.range.oninput = () => this.take(this.stopAt(this.most * Number(this.range.value) ** this.power))
    this.range.onchange = () => this.onCommit(this.value)
    this.range.onkeydown = (event) => this.step(event)
    this.number.onchange = () => this.takeTyped()
    this.number.onfocus = () => this.number.select()
    this.number.onkeydown = (event) => this.nudge(event)
  }

  /** What the values are: from 0 to `most`, and with a `power` above 1 the small ones have more room. */
  measure({ label, help, most = 1, power = 1 }) {
    if (label === this.label.textContent && help === this.label.title) return
    Object.assign(this, { most, power })
    setText(this.label, label)
    this.label.title = this.root.title = help
    this.range.setAttribute("aria-label", label)
    this.number.setAttribute("aria-label", `${label}, number`)
  }

  /** The place of a value on the slider, from 0 to 1. */
  shareOf(value) {
    return (Math.min(value, this.most) / this.most) ** (1 / this.power)
  }

  /** The hundredth next to a value, or the stop that rounds to the same one. */
  stopAt(value) {
    const hundredth = Math.round(value * 100)
    const near = this.stops.filter((stop) => Math.round(stop * 100) === hundredth)
    const nearest = (best, stop) => (Math.abs(stop - value) < Math.abs(best - value) ? stop : best)
    return near.length ? near.reduce(nearest) : hundredth / 100
  }

  take(value) {
    this.show(Math.min(Math.max(value, 0), this.most))
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
    if (step) this.move(event, Math.round((this.value + step) * 1e6) / 1e6)
  }

  /** By hundredths of the value; the browser's own step is one of the slider's length. */
  step(event) {
    const step = { ArrowUp: 0.01, ArrowRight: 0.01, ArrowDown: -0.01, ArrowLeft: -0.01 }[event.key]
    if (step) this.move(event, this.stopAt(this.value + step))
  }

  move(event, value) {
    event.preventDefault()
    this.take(value)
    this.onCommit(this.value)
  }

  show(value) {
    // A redraw of the same value must not overwrite what is being typed.
    const typing = value === this.value && this.number.matches(":focus")
    this.value = value
    const share = this.shareOf(value)
    this.range.value = share
    this.range.setAttribute("aria-valuetext", fixed(value))
    if (!typing) this.number.value = fixed(value)
    this.root.style.setProperty("--share", `${100 * share}%`)
  }

  enable(enabled, note = "") {
    this.range.disabled = this.number.disabled = !enabled
    this.root.classList.toggle("off", !enabled)
    setText(this.note, note)
  }
}
