/** Confusion matrices: ground truth in rows, found in columns; a cell leads to its cases. */

import { element, setText } from "./elements.js"
import { countText } from "./figures.js"
import { cellCount } from "./table.js"

const TITLES = {
  findings: ["Findings", "One lesion each, matched without regard to class."],
  images: ["Images", "Whether any finding is shown."],
  classes: ["Classes", "One image each, the class with the highest score; the dial does not move it."],
}

/** The names that occur in a row or column; of many classes most do not. */
function occurring(sheet, names, placeOf) {
  const seen = new Set(Array.from(sheet.cells, placeOf))
  return names.map((_, n) => n).filter((n) => names.length <= 12 || seen.has(n))
}

/** Where nothing is true and nothing found there is nothing to count. */
function isCounted(sheet, row, column) {
  return sheet.name !== "findings" || row < sheet.rows.length - 1 || column < sheet.columns.length - 1
}

export class Matrix {
  /** `actions`: {open(sheet, row, column), download(sheet, kind)}. */
  constructor(sheet, actions) {
    this.sheet = sheet
    const width = sheet.columns.length
    this.rows = occurring(sheet, sheet.rows, (cell) => Math.floor(cell / width))
    this.columns = occurring(sheet, sheet.columns, (cell) => cell % width)
    this.held = new Map(Array.from(sheet.cells, (cell, n) => [cell, n]))
    this.lines = this.rows.map((row) => this.line(row, actions))
    const [title, help] = TITLES[sheet.name]
    const heads = this.columns.map((column) => element("th", { scope: "col", title: sheet.columns[column] }, element("span", {}, sheet.columns[column])))
    const above = element("tr", {}, element("th", { class: "dial-corner" }, "ground truth ↓  found →"), ...heads)
    const body = element("tbody", {}, ...this.lines.map(({ root }) => root))
    const files = ["PNG", "SVG", "CSV"].map((kind) => element("button", { type: "button", class: "dial-button dial-file", onclick: () => actions.download(this, kind) }, kind))
    const left = sheet.rows.length - this.rows.length
    const note = left > 0 ? ` ${left} classes that never occur are left out.` : ""
    this.root = element("section", { class: `dial-panel dial-matrix${this.columns.length > 5 ? " dial-wide" : ""}`, "data-sheet": sheet.name },
      element("div", { class: "dial-panel-head" }, element("b", {}, `Confusion: ${title.toLowerCase()}`), element("span", { class: "dial-note" }, help + note), ...files),
      element("div", { class: "dial-scroll" }, element("table", {}, element("thead", {}, above), body)))
  }

  line(row, actions) {
    const { sheet } = this
    const cells = []
    const parts = this.columns.map((column) => {
      const place = row * sheet.columns.length + column
      if (!isCounted(sheet, row, column)) return element("td", { class: "dial-none" }, "")
      const n = this.held.get(place)
      const count = element("span", { class: "dial-count" }, "0")
      const share = element("span", { class: "dial-share" })
      const words = `ground truth ${sheet.rows[row]}, found ${sheet.columns[column]}`
      const button = element("button", { type: "button", class: "dial-cell", disabled: true, onclick: () => actions.open(sheet, row, column), "data-row": row, "data-column": column }, count, share)
      if (n !== undefined) cells.push({ n, button, count, share, words })
      return element("td", {}, button)
    })
    return { cells, root: element("tr", {}, element("th", { scope: "row", title: sheet.rows[row] }, element("span", {}, sheet.rows[row])), ...parts) }
  }

  show(place) {
    if (this.sheet.fixed && this.shown) return
    this.shown = true
    for (const { cells } of this.lines) {
      const counts = cells.map(({ n }) => cellCount(this.sheet, n, place))
      const total = counts.reduce((sum, one) => sum + one, 0)
      cells.forEach((cell, n) => this.showCell(cell, counts[n], total))
    }
  }

  showCell(cell, count, total) {
    const of = total ? count / total : 0
    if (cell.value === count && cell.total === total) return
    cell.value = count
    cell.total = total
    setText(cell.count, countText(count))
    setText(cell.share, count ? `${Math.round(100 * of)} %` : "")
    cell.button.disabled = count === 0
    cell.button.style.setProperty("--share", `${Math.round(100 * of)}%`)
    cell.button.classList.toggle("dial-dark", of > 0.55)
    cell.button.setAttribute("aria-label", `${cell.words}: ${count} of ${total}. Show the cases.`)
  }

  /** Whether the n-th shown row has a k-th cell. */
  counts(n, k) {
    return isCounted(this.sheet, this.rows[n], this.columns[k])
  }

  /** All counts at one knot: [row][column]. */
  values(place) {
    const { sheet, held } = this
    const count = (row, column) => {
      const n = held.get(row * sheet.columns.length + column)
      return n === undefined ? 0 : cellCount(sheet, n, place)
    }
    return this.rows.map((row) => this.columns.map((column) => count(row, column)))
  }
}
