/** A line below the findings: what the one pointed at is worth, else what the setting reaches. */

import { element, setText } from "./elements.js"
import { negative } from "./findings.js"
import { lineOf } from "./measured.js"
import { evidenceWords, settingWords } from "./measured_words.js"

/** The candidate of the active pane that an id of the table or the picture stands for; −1 = none. */
function positionOf(id, findings, compared) {
  if (!compared) return id?.[0] === "p" ? Number(id.slice(1)) : -1
  const row = compared.comparison.placeOf[compared.active].findIndex((place) => place?.id === id)
  return row < 0 ? -1 : findings.shown[row]
}

function ofFinding(measured, findings, position) {
  const row = findings.rows.find((one) => one.position === position)
  const score = findings.raw.scores[position]
  const name = row ? `Finding ${row.number}` : "Hidden finding"
  return `${name}, score ${score.toFixed(2)}, ${lineOf(measured, score)} line: ${evidenceWords(measured, score)}`
}

/** `lit` is pointed at, `chosen` was clicked before: a candidate's position or something else. */
export function worthOf({ pane, findings, state, lit, chosen, compared }) {
  const { measured } = pane
  if (!measured || findings.raw === null) return ""
  if (findings.answer) return `This picture: ${evidenceWords(measured, findings.answer.imageScore)}`
  const pointed = positionOf(lit, findings, compared)
  const position = pointed < 0 && typeof chosen === "number" ? chosen : pointed
  if (position >= 0) return ofFinding(measured, findings, position)
  if (compared && !findings.rows.length) return negative(pane, findings, state)
  return settingWords(pane, state)
}

/** A function from a score of this pane's model to what it is worth; empty where that is unknown. */
export const worthIn = (pane) => (score) => (pane?.measured ? evidenceWords(pane.measured, score) : "")

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
