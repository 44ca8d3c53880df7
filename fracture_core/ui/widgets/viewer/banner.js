/** Where an image lies outside what a model was made for, or nothing tells: said plainly, and kept. */

import { letterOf } from "./comparison.js"
import { element } from "./elements.js"

export const NOT_MEASURED = "not measured on images like this"

/** What the banner says of a pane; empty where the image lies within its model's scope. */
export const bannerOf = (pane) => pane?.scope?.sentence ?? ""

/** Whether nothing that was measured of the pane's model holds for this image. */
export const isStrange = (pane) => bannerOf(pane) !== ""

/** [words, letters of the panes] for each sentence, in the order of the panes. */
function sentencesOf(panes) {
  const said = new Map()
  panes.forEach((pane, n) => {
    const words = bannerOf(pane)
    if (words) said.set(words, [...(said.get(words) ?? []), letterOf(n)])
  })
  return [...said]
}

/** Which models have not read it; `waiting` are their letters. */
function unreadWords(panes, waiting) {
  if (panes.length === 1) return "It has not been read."
  return `${waiting.join(", ")} ${waiting.length === 1 ? "has" : "have"} not read it.`
}

export class Banner {
  /** `read()` is called when the reader wants an image read that was held back. */
  constructor(read) {
    this.words = element("div", { class: "banner-words" })
    this.button = element("button", { type: "button", class: "tool words", onclick: read }, "Read it all the same")
    this.root = element("div", { class: "banner", role: "alert", hidden: true }, this.words, this.button)
    this.held = ""
  }

  show(panes) {
    const said = sentencesOf(panes)
    const waiting = panes.map((pane, n) => (pane.scope?.held_back ? letterOf(n) : "")).filter(Boolean)
    const text = JSON.stringify([said, waiting, panes.length])
    if (text === this.held) return
    this.held = text
    this.root.hidden = !said.length
    this.button.hidden = !waiting.length
    const line = ([words, letters]) => element("p", {}, `⚠ ${panes.length > 1 ? `${letters.join(", ")}: ` : ""}${words}.`)
    const unread = waiting.length ? [element("p", { class: "banner-unread" }, unreadWords(panes, waiting))] : []
    this.words.replaceChildren(...said.map(line), ...unread)
  }
}

/** The banner on an exported image: `lines` of words, black on yellow, from `top` on. */
export function drawBanner(context, lines, { top, unit, font }) {
  context.fillStyle = "#f0e442"
  context.fillRect(0, top, context.canvas.width, bannerHeight(lines, unit))
  context.fillStyle = "#14140a"
  context.textBaseline = "middle"
  context.font = font
  lines.forEach((line, n) => context.fillText(line, 8 * unit, top + unit * (14 + 18 * n), context.canvas.width - 16 * unit))
}

export const bannerHeight = (lines, unit) => (lines.length ? Math.ceil(unit * (10 + 18 * lines.length)) : 0)
