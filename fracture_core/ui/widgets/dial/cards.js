/** Count cards: true and false positives and negatives, and the shares, each with its unit and n. */

import { element, setText } from "./elements.js"
import { basisText, countText, reached, shareText } from "./figures.js"

const LESION_COUNTS = [
  ["right", "True positives", (at) => at.hits],
  ["spurious", "False positives", (at) => at.wrong],
  ["missed", "False negatives", (at) => at.missed],
]
const PICTURE_COUNTS = [
  ["right", "True positives", (at) => at.hits],
  ["spurious", "False positives", (at) => at.wrong],
  ["missed", "False negatives", (at) => at.missed],
  ["silent", "True negatives", (at) => at.silent],
]
const LESION_SHARES = [
  ["sensitivity", "Sensitivity", (at) => at.sensitivity, "Lesions found, of all lesions."],
  ["precision", "Precision", (at) => at.precision, "Findings that match a lesion, of all findings shown."],
  ["f1", "F1", (at) => at.f1, "Harmonic mean of sensitivity and precision."],
  ["fp", "FP per image", (at) => at.perImage, "False positives, of all images."],
]
const PICTURE_SHARES = [
  ["sensitivity", "Sensitivity", (at) => at.sensitivity, "Of all positives those with a finding shown."],
  ["specificity", "Specificity", (at) => at.specificity, "Of all negatives those with nothing shown."],
  ["ppv", "PPV", (at) => at.precision, "Of all that show a finding the positives; it depends on how common they are here."],
  ["npv", "NPV", (at) => at.negativeValue, "Of all that show nothing the negatives; it depends on how common they are here."],
]

function figure(kind, name, read, help) {
  const value = element("span", { class: "dial-value" })
  const basis = element("span", { class: "dial-basis" })
  const root = element("div", { class: "dial-figure", "data-figure": kind, title: help }, element("span", { class: "dial-name" }, name), value, basis)
  return { root, value, basis, read }
}

class Card {
  constructor(tally, note) {
    this.tally = tally
    const lesions = tally.unit === "lesion"
    this.counts = (lesions ? LESION_COUNTS : PICTURE_COUNTS).map(([kind, name, read]) => figure(kind, name, read, null))
    this.shares = (lesions ? LESION_SHARES : PICTURE_SHARES).map((parts) => figure(...parts))
    const { positives, negatives, images } = tally
    const words = lesions ? `${countText(positives)} lesions in ${countText(images)} images` : `${countText(positives)} positive, ${countText(negatives)} negative`
    const title = element("div", { class: "dial-title" }, element("b", {}, tally.title), element("span", {}, note ? `${words}; ${note}` : words))
    const roots = (figures) => figures.map(({ root }) => root)
    this.root = element("section", { class: "dial-card", "data-unit": tally.unit, "aria-label": tally.title }, title,
      element("div", { class: "dial-counts" }, ...roots(this.counts)), element("div", { class: "dial-shares" }, ...roots(this.shares)))
  }

  show(place) {
    const at = reached(this.tally, place)
    for (const { value, read } of this.counts) setText(value, countText(read(at)))
    for (const { root, value, basis, read } of this.shares) {
      const got = read(at)
      const plain = typeof got === "number"
      setText(value, shareText(plain ? got : got.share))
      setText(basis, plain ? " " : basisText(got))
      root.classList.toggle("dial-undefined", Number.isNaN(plain ? got : got.share))
    }
  }
}

export class Cards {
  constructor() {
    this.root = element("div", { class: "dial-cards" })
    this.cards = []
  }

  fill({ tallies, study_rule: rule }) {
    this.cards = tallies.map((tally) => new Card(tally, tally.unit === "study" ? `score by ${rule}` : ""))
    this.root.replaceChildren(...this.cards.map(({ root }) => root))
  }

  show(place) {
    for (const card of this.cards) card.show(place)
  }
}
