/** Confusion matrices: ground truth in rows, found in columns; a cell leads to its cases. Cells hold counts
 * or shares of their row or column. */

import { element, setText } from "./elements.js"
import { countText } from "./figures.js"
import { cellCount } from "./table.js"

const TITLES = {
  findings: ["Findings", "One lesion each, matched without regard to class."],
  images: ["Images", "Whether any finding is shown."],
  classes: ["Classes", "One image each, the class with the highest score; the dial does not move it."],
}

const SHARES = [
  ["counts", "counts"],
  ["row", "by row"],
  ["column", "by column"],
]

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
  /** `actions`: {open(sheet, row, column), download(sheet, kind), normalise(sheet, shares)}; `shares`
   * is what cells hold at first. */
  constructor(sheet, actions, shares = "counts") {
    this.sheet = sheet
    this.shares = shares
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
    const options = SHARES.map(([value, text]) => element("option", { value, selected: value === shares }, text))
    const choice = element("select", { class: "dial-button dial-normalised", "aria-label": `Confusion of ${title.toLowerCase()} as`, title: "Counts, or shares of each row or column", onchange: (event) => this.normalise(event.target.value, actions) }, ...options)
    const left = sheet.rows.length - this.rows.length
    const note = left > 0 ? ` ${left} classes that never occur are left out.` : ""
    this.root = element("section", { class: `dial-panel dial-matrix${this.columns.length > 5 ? " dial-wide" : ""}`, "data-sheet": sheet.name },
      element("div", { class: "dial-panel-head" }, element("b", {}, `Confusion: ${title.toLowerCase()}`), element("span", { class: "dial-note" }, help + note), choice, ...files),
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
      if (n !== undefined) cells.push({ n, column, button, count, share, words })
      return element("td", {}, button)
    })
    return { cells, root: element("tr", {}, element("th", { scope: "row", title: sheet.rows[row] }, element("span", {}, sheet.rows[row])), ...parts) }
  }

  normalise(shares, actions) {
    this.shares = shares
    actions.normalise(this.sheet, shares)
    this.shown = false
    this.show(this.place)
  }

  show(place) {
    this.place = place
    if (this.sheet.fixed && this.shown) return
    this.shown = true
    const totals = this.totals(place)
    for (const [row, { cells }] of this.lines.entries()) {
      for (const cell of cells) {
        const total = this.shares === "column" ? totals.columns.get(cell.column) : totals.rows[row]
        this.showCell(cell, cellCount(this.sheet, cell.n, place), total)
      }
    }
  }

  /** Sums at one knot: of each shown row, and by column. */
  totals(place) {
    const columns = new Map()
    const rows = this.lines.map(({ cells }) => {
      let sum = 0
      for (const { n, column } of cells) {
        const count = cellCount(this.sheet, n, place)
        sum += count
        columns.set(column, (columns.get(column) ?? 0) + count)
      }
      return sum
    })
    return { rows, columns }
  }

  showCell(cell, count, total) {
    if (cell.value === count && cell.total === total && cell.shares === this.shares) return
    Object.assign(cell, { value: count, total, shares: this.shares })
    const of = total ? count / total : 0
    const percent = count ? `${Math.round(100 * of)} %` : ""
    const normalised = this.shares !== "counts"
    setText(cell.count, normalised ? (total ? of.toFixed(2) : "–") : countText(count))
    setText(cell.share, normalised ? countText(count) : percent)
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

  /** Shares of the columns where they are asked for, else of the rows, NaN of nothing: [row][column]. */
  sharesOf(counts) {
    const sum = (numbers) => numbers.reduce((total, one) => total + one, 0)
    const columns = this.columns.map((_, k) => sum(counts.map((line) => line[k])))
    return counts.map((line) => {
      const row = sum(line)
      return line.map((one, k) => one / (this.shares === "column" ? columns[k] : row))
    })
  }
}
