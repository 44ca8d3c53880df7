/** What the line styles mean, below the image: how certain the model is of a finding. */

import { element, setText } from "./elements.js"
import { fixed, placeOf, pointNames } from "./measured_words.js"

/** [line, words] for each style that can occur with this model. */
export function legendOf(measured) {
  const { dashed_above: dashed, solid_above: solid } = measured
  const from = (confidence) => `from ${fixed(confidence)}, ${pointNames(measured, confidence)}`
  const lines = []
  if (solid !== null) lines.push(["solid", from(solid)])
  if (dashed !== null && (solid === null || dashed < solid)) lines.push(["dashed", from(dashed)])
  if (dashed !== null) lines.push(["dotted", `below ${fixed(solid === null ? dashed : Math.min(dashed, solid))}`])
  else if (solid !== null) lines.push(["dashed", `below ${fixed(solid)}`])
  return lines
}

export class Legend {
  constructor() {
    this.letter = element("span", { class: "pane-letter" })
    this.lines = element("span", { class: "legend-lines" })
    this.root = element("div", { class: "line-legend", role: "note", "aria-label": "Line styles", hidden: true }, this.letter, this.lines)
    this.held = ""
  }

  /** Of the active pane; there for all of them where any was measured, so that nothing moves. */
  show(panes, active, letter) {
    const pane = panes[active]
    const drawn = panes.filter(({ measured, task }) => measured && task !== "classify")
    this.root.hidden = drawn.length === 0
    const lines = drawn.includes(pane) ? legendOf(pane.measured) : []
    const text = JSON.stringify([letter, lines])
    if (text === this.held) return
    this.held = text
    setText(this.letter, letter)
    this.letter.hidden = !letter
    this.root.title = lines.length ? `Line styles by confidence: operating points measured on ${placeOf(pane.measured)}` : ""
    const line = ([style, words]) =>
      element("span", { class: "legend-line" }, element("i", { "data-line": style, "aria-hidden": "true" }), `${style} ${words}`)
    this.lines.replaceChildren(...(lines.length ? lines.map(line) : ["no operating points: all lines solid"]))
  }
}
