/** A line below the findings: what the one pointed at is worth, else what the setting reaches. */

import { letterOf } from "./comparison.js"
import { element, setText } from "./elements.js"
import { negative } from "./findings.js"
import { lineOf } from "./measured.js"
import { evidenceWords, settingWords } from "./measured_words.js"

/** The candidate of the active pane that an id of the table or the image stands for; −1 = none. */
function positionOf(id, findings, compared) {
  if (!compared) return id?.[0] === "p" ? Number(id.slice(1)) : -1
  const row = compared.comparison.placeOf[compared.active].findIndex((place) => place?.id === id)
  return row < 0 ? -1 : findings.shown[row]
}

function ofFinding(pane, findings, state, position) {
  const row = findings.rows.find((one) => one.position === position)
  const score = findings.raw.scores[position]
  const name = row ? `Finding ${row.number}` : "Hidden finding"
  return `${name}, score ${score.toFixed(2)}, ${lineOf(pane.measured, score)} line: ${evidenceWords(pane, score, state)}`
}

/** `lit` is pointed at, `chosen` was clicked before: a candidate's position or something else. */
export function worthOf(shown) {
  const { pane, findings, compared } = shown
  if (!pane.measured || findings.raw === null) return ""
  return compared ? `${letterOf(compared.active)}: ${wordsOf(shown)}` : wordsOf(shown)
}

function wordsOf({ pane, findings, state, lit, chosen, compared }) {
  if (findings.classified) return `This image: ${evidenceWords(pane, findings.classified.imageScore, state)}`
  const pointed = positionOf(lit, findings, compared)
  const position = pointed < 0 && typeof chosen === "number" ? chosen : pointed
  if (position >= 0) return ofFinding(pane, findings, state, position)
  if (compared && !findings.rows.length) return negative(pane, findings, state)
  return settingWords(pane, state)
}

/** A function from a score of this pane's model to what it is worth; empty where that is unknown. */
export const worthIn = (pane) => (score, state) => (pane?.measured ? evidenceWords(pane, score, state) : "")

export class Evidence {
  constructor() {
    this.root = element("p", { class: "evidence", hidden: true })
  }

  show(words) {
    this.root.hidden = words === ""
    setText(this.root, words)
    this.root.title = words
  }
}
