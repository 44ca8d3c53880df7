/** From findings to what is drawn in a pane. */

import { lineOf } from "./measured.js"
import { TAGS } from "./overlay.js"

function tagOf(number, kind, score) {
  return [number, TAGS[kind], score.toFixed(2)].filter((part) => part !== undefined).join(" ")
}

/**
 * One pane's candidates: the shown findings and, if asked for, the best hidden one, dotted; so is
 * the `chosen` one, {position, kept}, if it is to be kept where the settings hide it.
 */
export function findingMarks(pane, findings, lit, dotted, chosen = null) {
  if (!findings.raw) return []
  const { xyxy, scores, masks } = findings.raw
  const mark = (index, kind, line, tag) => {
    const id = `p${index}`
    return { id, kind, line, tag, xyxy, index, mask: masks.length ? masks[index] : null, lit: id === lit, chosen: index === chosen?.position }
  }
  const marks = findings.rows.map(({ position, number, kind }) =>
    mark(position, kind, lineOf(pane.measured, scores[position]), tagOf(number, kind, scores[position])),
  )
  if (dotted && findings.best >= 0 && !findings.rows.length) {
    marks.push(mark(findings.best, "candidate", "dotted", tagOf("best", "candidate", scores[findings.best])))
  }
  if (chosen?.kept && marks.every(({ index }) => index !== chosen.position)) {
    marks.push(mark(chosen.position, "candidate", "dotted", tagOf("hidden", "candidate", scores[chosen.position])))
  }
  return marks
}

/** The ground truth, the missed ones told apart. */
export function groundTruthMarks(groundTruth, missed, lit) {
  if (!groundTruth) return []
  return Array.from({ length: groundTruth.count }, (_, index) => {
    const id = `t${index}`
    const kind = missed.includes(index) ? "missed" : "ground truth"
    const tag = `GT${groundTruth.count > 1 ? index + 1 : ""}${kind === "missed" ? " missed" : ""}`
    const mask = groundTruth.masks.length ? groundTruth.masks[index] : null
    return { id, kind, line: "solid", tag, xyxy: groundTruth.xyxy, index, mask, lit: id === lit }
  })
}
