/** The slider: a unit to read it in, a number to type, and the operating points as marks on it. */

import { element, setText } from "./elements.js"
import { placeOf } from "./table.js"
import { stepFrom, stopAt } from "./units.js"

const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 }
const ENDS = { Home: -1e9, End: 1e9 }
// A key that is pressed again and again is one change.
const KEY_MILLISECONDS = 300

export class Slider {
  /** `actions`: {move(place), commit(), choose(unit name)}. */
  constructor(actions) {
    this.actions = actions
    this.units = element("div", { class: "dial-units", role: "group", "aria-label": "Unit of the dial" })
    this.number = element("input", { type: "text", inputmode: "decimal", class: "dial-number", "aria-label": "Value of the dial" })
    this.number.onchange = () => this.type()
    this.range = element("input", { type: "range", min: 0, max: 1, step: "any", class: "dial-range", "aria-label": "Dial" })
    this.range.oninput = () => this.slide()
    this.range.onchange = () => this.release()
    this.range.onkeydown = (event) => this.key(event)
    this.range.onkeyup = (event) => (event.key in STEPS || event.key in ENDS) && this.actions.commit(KEY_MILLISECONDS)
    this.marks = element("div", { class: "dial-marks" })
    this.ticks = element("div", { class: "dial-ticks", "aria-hidden": "true" })
    this.points = element("div", { class: "dial-points", role: "group", "aria-label": "Operating points" })
    this.place = element("span", { class: "dial-place" })
    const head = element("div", { class: "dial-head" }, this.units, this.number, this.place, this.points)
    this.root = element("div", { class: "dial-slider" }, head, element("div", { class: "dial-track" }, this.marks, this.range, this.ticks))
  }

  /** Another table, other units or points: everything that does not move. */
  fill(table, units, points) {
    this.table = table
    this.all = units
    this.buttons = units.map((unit) => {
      const title = unit.defined ? null : `${unit.label} is undefined: there is nothing to take a share of`
      const onclick = () => this.actions.choose(unit.name)
      return element("button", { type: "button", class: "dial-button", disabled: !unit.defined, title, onclick, "data-unit": unit.name }, unit.label)
    })
    this.units.replaceChildren(...this.buttons)
    this.known = points.map(({ name, confidence }) => ({ name, place: placeOf(table, confidence) }))
    this.points.replaceChildren(
      ...this.known.map(({ name, place }, n) => {
        const onclick = () => this.jump(place)
        const title = `${name}: confidence ${table.confidences[place].toFixed(3)}`
        return element("button", { type: "button", class: "dial-button dial-point", title, onclick, "data-point": name }, element("b", {}, String(n + 1)), ` ${name}`)
      }),
    )
    this.unit = null
  }

  show(unit, place, dragging) {
    if (unit !== this.unit) this.scale(unit)
    const value = unit.values[place]
    this.at = place
    if (!dragging) this.range.value = unit.toPosition(value)
    this.range.style.setProperty("--share", `${100 * Number(this.range.value)}%`)
    this.range.setAttribute("aria-valuetext", `${unit.label} ${unit.text(value)}`)
    if (this.number.getRootNode().activeElement !== this.number || !dragging) this.number.value = unit.text(value)
    setText(this.place, unit.name === "confidence" ? "" : `confidence ≥ ${this.table.confidences[place].toFixed(3)}`)
    this.known.forEach((point, n) => this.points.children[n].setAttribute("aria-pressed", String(point.place === place)))
  }

  scale(unit) {
    this.unit = unit
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button.dataset.unit === unit.name))
    const at = (value) => `left: ${100 * unit.toPosition(value)}%`
    const words = (value) => (value > 0 && value < 1 && unit.name === "fp" ? `1/${1 / value}` : String(value))
    this.ticks.replaceChildren(...unit.ticks.map((value) => element("span", { style: at(value) }, words(value))))
    this.marks.replaceChildren(
      ...this.known.map(({ name, place }, n) =>
        element("button", { type: "button", tabindex: "-1", class: "dial-mark", style: at(unit.values[place]), title: name, onclick: () => this.jump(place) }, String(n + 1)),
      ),
    )
    this.range.setAttribute("aria-label", unit.label)
    this.number.setAttribute("aria-label", `${unit.label}, a number`)
  }

  slide() {
    this.dragging = true
    this.actions.move(stopAt(this.unit, this.unit.toValue(Number(this.range.value))), true)
  }

  release() {
    this.dragging = false
    this.actions.move(this.at, false)
    this.actions.commit()
  }

  jump(place) {
    this.actions.move(place, false)
    this.actions.commit()
  }

  key(event) {
    const by = STEPS[event.key] ?? ENDS[event.key]
    if (by === undefined) return
    event.preventDefault()
    this.actions.move(stepFrom(this.unit, this.at, by), false)
  }

  type() {
    const value = Number(this.number.value.replace(",", ".").replace("%", "e-2"))
    const sensible = this.number.value.trim() && Number.isFinite(value)
    this.jump(sensible ? stopAt(this.unit, value) : this.at)
  }
}
