/** The findings as a table. Only the rows in sight exist, so a thousand cost no more than twenty. */

import { element, setText } from "./elements.js"
import { TAGS } from "./overlay.js"

const ROW_PX = 26
const SPARE = 4

const KIND_WORDS = {
  "true positive": "true positive",
  "false positive": "false positive",
  duplicate: "duplicate",
  missed: "missed",
  finding: "finding",
}

export class FindingsTable {
  constructor({ onHover, onPick, label = "Findings" }) {
    Object.assign(this, { onHover, onPick })
    this.rows = []
    this.lit = null
    this.lines = []
    this.columns = 5
    // What a score is worth at the settings in force, in words.
    this.worth = () => ""
    this.body = element("div", { class: "rows", role: "rowgroup" })
    this.scroller = element("div", { class: "scroller", tabindex: "0", role: "table", "aria-label": label }, this.head(), this.body)
    this.empty = element("p", { class: "empty" }, "Nothing to list.")
    this.root = element("section", { class: "findings" }, this.scroller, this.empty)
    this.scroller.onscroll = () => this.draw()
    this.body.onpointerleave = () => this.onHover(null)
    this.scroller.onkeydown = (event) => this.step(event)
    this.watch = new ResizeObserver(() => this.draw())
    this.watch.observe(this.scroller)
  }

  head() {
    const names = ["#", "Class", "Score", "IoU", "Kind"]
    const cells = names.map((name) => element("span", { role: "columnheader" }, name))
    return element("div", { class: "row head", role: "row" }, ...cells)
  }

  /** `rows`: {id, number, name, score, iou, kind}; score and iou may be null. Ids `lit` and `chosen`. */
  show(rows, lit, chosen = null, state = null) {
    this.rows = rows
    this.state = state
    this.chosen = chosen
    this.lit = lit
    this.body.style.height = `${rows.length * ROW_PX}px`
    this.scroller.setAttribute("aria-rowcount", rows.length + 1)
    this.empty.hidden = rows.length > 0
    this.draw()
  }

  draw() {
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW_PX) - SPARE)
    const count = Math.ceil(this.scroller.clientHeight / ROW_PX) + 2 * SPARE
    const seen = this.rows.slice(first, first + count)
    while (this.lines.length < seen.length) this.lines.push(this.addLine())
    this.lines.forEach((line, n) => this.fill(line, seen[n], first + n))
  }

  addLine() {
    const cells = Array.from({ length: this.columns }, () => element("span", { role: "cell" }))
    const root = element("div", { class: "row", role: "row", "data-testid": "findings-row" }, ...cells)
    const line = { root, cells, row: null }
    root.onpointerenter = () => line.row && this.onHover(line.row.id)
    root.onclick = () => line.row && this.onPick(line.row.id)
    this.body.append(root)
    return line
  }

  fill(line, row, at) {
    line.row = row ?? null
    line.root.hidden = !row
    if (!row) return
    line.root.style.transform = `translateY(${at * ROW_PX}px)`
    line.root.dataset.kind = row.kind
    line.root.classList.toggle("lit", row.id === this.lit)
    line.root.classList.toggle("chosen", row.id === this.chosen)
    line.root.setAttribute("aria-selected", String(row.id === this.chosen))
    line.root.setAttribute("aria-rowindex", at + 2)
    this.write(line, row)
  }

  write(line, row) {
    const number = (value) => (value === null ? "–" : value.toFixed(2))
    const words = [row.number, row.name, number(row.score), number(row.iou), TAGS[row.kind] ?? "–"]
    words.forEach((word, n) => setText(line.cells[n], String(word)))
    line.cells[1].title = row.name
    line.cells[2].title = row.score === null ? "" : this.worth(row.score, this.state)
    line.cells[4].title = KIND_WORDS[row.kind]
  }

  step(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (event.key === "Enter" && this.lit !== null) this.onPick(this.lit)
    if (!by || !this.rows.length) return
    event.preventDefault()
    event.stopPropagation()
    const now = this.rows.findIndex((row) => row.id === this.lit)
    const next = Math.min(Math.max(now + by, 0), this.rows.length - 1)
    this.onHover(this.rows[next].id)
    this.reveal(this.rows[next].id)
  }

  /** Scroll so that the row can be seen. */
  reveal(id) {
    const at = this.rows.findIndex((row) => row.id === id)
    if (at < 0) return
    const top = at * ROW_PX
    const room = this.scroller.clientHeight - 2 * ROW_PX
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top
    else if (top > this.scroller.scrollTop + room) this.scroller.scrollTop = top - room
  }

  close() {
    this.watch.disconnect()
  }
}
