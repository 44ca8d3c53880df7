/** The slider that decides what is shown, in one of three units, with the operating points on it. */

import { element, setText } from "./elements.js"
import { Histogram } from "./histogram.js"
import { levelAt } from "./measured.js"
import { NumberSlider } from "./number_slider.js"
import { Ticks } from "./ticks.js"
import { MOST_LEVEL } from "./thresholds.js"

const UNITS = {
  confidence: { label: "Confidence", help: "Candidates scored lower are hidden" },
  sensitivity: { label: "Sensitivity", help: "Each model goes by the highest confidence at which it reached this sensitivity where it was measured", most: MOST_LEVEL.sensitivity },
  // The rates that matter lie between 1/8 and 8.
  fp_per_image: { label: "FP per image", help: "Each model goes by the lowest confidence at which it had no more false positives an image where it was measured", most: MOST_LEVEL.fp_per_image, power: 3 },
}
const LINKED = { confidence: "Raw confidence", sensitivity: "Equal sensitivity", fp_per_image: "Equal FP per image" }
const IMAGE_SCORE = { label: "Image score", help: "Images scored lower count as without a finding" }

export class Dial {
  /** `change(part)` during, `commit()` after, `chooseUnit(unit)`. */
  constructor({ change, commit, chooseUnit }) {
    this.unit = "confidence"
    const take = (value) => change(this.unit === "confidence" ? { confidence: value } : { level: value })
    this.slider = new NumberSlider({ name: "confidence", ...UNITS.confidence, onInput: take, onCommit: commit })
    this.histogram = new Histogram()
    this.slider.back.append(this.histogram.root)
    this.ticks = new Ticks((value) => {
      this.slider.take(value)
      commit()
    })
    this.slider.track.append(this.ticks.root)
    const chosen = () => {
      this.units.blur()
      chooseUnit(this.units.value)
    }
    this.units = element("select", { class: "units", "aria-label": "Unit of the dial", onchange: chosen },
      ...Object.keys(UNITS).map((unit) => element("option", { value: unit })))
    this.slider.label.after(this.units)
    this.root = this.slider.root
  }

  /** `state` is that of the pane `active` among `panes`. */
  show(state, panes, active) {
    const pane = panes[active]
    const measured = panes.filter((one) => one.measured).length
    this.unit = measured ? state.unit : "confidence"
    const alone = panes.length === 1 && pane.task === "classify"
    const units = alone ? { ...UNITS, confidence: IMAGE_SCORE } : UNITS
    this.offer(units, panes.length, measured)
    this.slider.measure(units[this.unit])
    const points = this.pointsOf(pane.measured)
    this.slider.stops = points.map(({ value }) => value)
    this.slider.show(this.unit === "confidence" ? state.confidence : state.level)
    this.ticks.show(points, this.slider.label.textContent.toLowerCase().replace("fp", "FP"))
    this.slider.track.classList.toggle("ticked", points.length > 0)
    this.histogram.root.hidden = this.unit !== "confidence" || alone
    this.histogram.draw(state.confidence)
  }

  /** Units other than confidence need measurements: of two models at least where there are many. */
  offer(units, count, measured) {
    const enough = measured >= Math.min(count, 2)
    this.units.hidden = count === 1 && !measured
    this.slider.label.hidden = !this.units.hidden
    const lack = enough ? "" : ` (${measured} of ${count} models measured)`
    for (const option of this.units.options) {
      const words = count > 1 ? LINKED[option.value] : units[option.value].label
      option.disabled = !enough && option.value !== "confidence"
      setText(option, option.disabled ? `${words}${lack}` : words)
    }
    this.units.value = this.unit
    this.units.title = enough ? "What the slider sets" : `Needs two models that were measured${lack}`
  }

  /** The operating points of the active model as values of the dial. */
  pointsOf(measured) {
    if (!measured) return []
    const valueOf = ({ confidence }) => (this.unit === "confidence" ? confidence : levelAt(measured, this.unit, confidence))
    return measured.points
      .map((point) => ({ rule: point.rule, value: valueOf(point) }))
      .filter(({ value }) => value !== null && value <= this.slider.most)
      .map((point) => ({ ...point, share: this.slider.shareOf(point.value) }))
  }
}
