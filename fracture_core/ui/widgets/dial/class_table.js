/** Lesions of each class at the dial. */

import { element, setText } from "./elements.js"
import { basisText, countText, reached, shareText } from "./figures.js"

const HEADS = ["Class", "Lesions", "TP", "FP", "FN", "Sensitivity", "", "Precision", ""]

export class ClassTable {
  constructor() {
    this.body = element("tbody")
    const heads = HEADS.map((name) => element("th", { scope: "col" }, name))
    const table = element("table", { class: "dial-classes" }, element("thead", {}, element("tr", {}, ...heads)), this.body)
    const head = element("div", { class: "dial-panel-head" }, element("b", {}, "Lesions by class"), element("span", { class: "dial-note" }, "A finding is right where its class is, too; Wilson 95 % intervals."))
    this.root = element("section", { class: "dial-panel", hidden: true }, head, element("div", { class: "dial-scroll" }, table))
    this.rows = []
  }

  fill(tallies) {
    this.rows = tallies.map((tally) => ({ tally, cells: HEADS.map((_, n) => element(n ? "td" : "th", n ? {} : { scope: "row" })) }))
    this.body.replaceChildren(...this.rows.map(({ cells }) => element("tr", {}, ...cells)))
    this.root.hidden = !tallies.length
  }

  show(place) {
    for (const { tally, cells } of this.rows) {
      const at = reached(tally, place)
      const words = [
        tally.name,
        countText(tally.positives),
        countText(at.hits),
        countText(at.wrong),
        countText(at.missed),
        shareText(at.sensitivity.share),
        basisText(at.sensitivity),
        shareText(at.precision.share),
        basisText(at.precision),
      ]
      words.forEach((text, n) => setText(cells[n], text))
    }
  }
}
