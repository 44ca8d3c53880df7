/** What a classifier predicts: a score for every class of the whole image, and no boxes. */

import { element, setText } from "./elements.js"
import { fixed, negativeWords, placeWords } from "./measured_words.js"

const MOST_ROWS = 100
// The group of a class that is no finding, as in fracture_core.class_names.
const NO_CLASS = -1
const NOTE = "This model classifies the image as a whole. It draws no boxes, so confidence, NMS IoU and match do not apply."
const NO_PROBABILITY = "A score, not a probability."

/**
 * What a classifier says of one frame, or null where it said nothing.
 *
 * rows: {name, score, known: whether it is the known class}, best first · imageScore · known: the
 * name of the known class or null · right: whether the best is the known one, null = not judged.
 * A pane's labels and those of the ground truth count different lists: classes are told by their groups.
 */
export function classified(pane, frame, index, classes, showGroundTruth) {
  const scores = pane.class_scores[index]
  if (!scores) return null
  const label = showGroundTruth ? frame.image_class : null
  const known = label === null ? null : (classes[label] ?? `class ${label}`)
  const isKnown = (at) => known !== null && (pane.groups[at] === frame.image_group || meansNothing(pane, at, frame))
  const rows = scores.map((score, at) => ({ name: pane.classes[at] ?? `class ${at}`, score, known: isKnown(at) }))
  rows.sort((a, b) => b.score - a.score)
  return { rows, imageScore: pane.image_scores[index], known, right: known === null ? null : judged(rows, pane.healthy) }
}

/**
 * Whether the best class is right, null where the model does not know the known one and cannot be
 * held to it. Of two classes of which one means health, the other stands for any finding.
 */
function judged(rows, healthy) {
  const [best] = rows
  if (rows.some((row) => row.known)) return best.known
  if (healthy === "") return null
  if (best.name === healthy) return false
  return rows.length === 2 ? true : null
}

/** Whether both the class and the image's are the one that stands for no finding. */
function meansNothing(pane, at, frame) {
  return frame.image_group === NO_CLASS && pane.classes[at] === pane.healthy
}

/** The plain account. A class that means health is the model's word, never a finding of ours. */
export function classAccount(pane, found, state) {
  if (!found) return "No prediction for this image."
  const [best] = found.rows
  const healthy = pane.healthy !== "" && best.name === pane.healthy
  const name = healthy ? `“${best.name}” in the model's words` : best.name
  const parts = [`Highest class: ${name}, score ${best.score.toFixed(2)}. ${NO_PROBABILITY}`]
  if (healthy) parts.push("It does not rule a fracture out.")
  if (pane.measured) parts.push(operatingWords(pane, found, state))
  else if (healthy) parts.push("The sensitivity of this model has not been measured.")
  return `${parts.join(" ")} ${knownWords(found, state.show_ground_truth)}`
}

/** On which side of the confidence in force the image lies. */
function operatingWords(pane, { imageScore }, state) {
  const score = `image score ${imageScore.toFixed(2)}`
  if (imageScore < state.confidence) return negativeWords(pane, state, `this image's ${score}`)
  return `Its ${score} is at or above ${placeWords(pane.measured, state.confidence)} (${fixed(state.confidence)}).`
}

function knownWords({ known, right }, groundTruthShown) {
  if (known === null) return groundTruthShown ? "Known class: none." : "Ground truth hidden."
  if (right === null) return `Known class: ${known}, which this model does not know.`
  return `Known class: ${known}, so the highest is ${right ? "right" : "wrong"}.`
}

export class ClassScores {
  constructor() {
    this.known = element("p", { class: "known" })
    this.image = element("p", { class: "image-score" })
    this.list = element("ol", { class: "class-list", "aria-label": "Class scores" })
    this.root = element("section", { class: "classes" }, this.known, this.image, this.list, element("p", { class: "note" }, NOTE))
    this.held = ""
  }

  show(found, healthy) {
    const text = JSON.stringify([found, healthy])
    if (text === this.held) return
    this.held = text
    const rows = found?.rows ?? []
    const right = found?.right ?? null
    setText(this.known, right === null ? "" : `${right ? "✓ right" : "✗ wrong"}: known class ${found.known}`)
    this.known.hidden = right === null
    this.known.dataset.right = String(right)
    setText(this.image, found ? imageWords(found, healthy) : "")
    const more = rows.length - MOST_ROWS
    const rest = more > 0 ? [element("li", { class: "rest" }, `and ${more} more`)] : []
    this.list.replaceChildren(...rows.slice(0, MOST_ROWS).map(classRow), ...rest)
  }
}

function imageWords({ imageScore }, healthy) {
  const meaning = healthy ? `1 − the score of ${healthy}` : "the highest class's"
  return `Image score ${imageScore.toFixed(2)} (${meaning}). ${NO_PROBABILITY}`
}

function classRow({ name, score, known }) {
  const bar = element("span", { class: "score-bar", "aria-hidden": "true" })
  bar.style.setProperty("--share", `${100 * score}%`)
  const words = element("span", { class: "class-name", title: name }, name)
  return element("li", { class: "class-row", "data-known": known }, words,
    element("span", { class: "class-mark" }, known ? "GT" : ""), bar, element("span", { class: "class-score" }, score.toFixed(2)))
}
