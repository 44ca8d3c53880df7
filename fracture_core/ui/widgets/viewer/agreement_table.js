/** The places of a comparison as a table: a score for each model, the ground truth, who agrees. */

import { letterOf } from "./comparison.js"
import { element, setText } from "./elements.js"
import { worthIn } from "./evidence.js"
import { FindingsTable } from "./table.js"

export class PlacesTable extends FindingsTable {
  /** One column for each of `panes` that predicts boxes. */
  setPanes(panes) {
    const lettered = panes.map(({ title, task }, n) => ({ task, words: [letterOf(n), title] }))
    const models = lettered.filter(({ task }) => task !== "classify").map(({ words }) => words)
    this.columns = 4 + models.length
    this.worths = panes.filter(({ task }) => task !== "classify").map(worthIn)
    this.root.classList.add("places")
    this.root.style.setProperty("--columns", `30px minmax(0, 1fr) ${"32px ".repeat(models.length)}36px 56px`)
    const names = [["#", "Place"], ["Class", ""], ...models, ["GT", "Ground truth"], ["Found", "By how many of the models that predict boxes"]]
    const cells = names.map(([name, title]) => element("span", { role: "columnheader", title: title || null }, name))
    this.scroller.firstChild.replaceChildren(...cells)
    this.lines = []
    this.body.replaceChildren()
  }

  write(line, row) {
    const scores = row.scores.map((score) => (score === null ? "–" : score.toFixed(2)))
    const groundTruth = row.groundTruth >= 0 ? `GT${row.groundTruth + 1}` : "–"
    const words = [row.number, row.name, ...scores, groundTruth, row.agreement]
    words.forEach((word, n) => setText(line.cells[n], String(word)))
    line.cells[1].title = row.name
    this.worths.forEach((worth, n) => (line.cells[2 + n].title = row.scores[n] === null ? "" : worth(row.scores[n], this.state)))
    line.cells[words.length - 1].title = row.title
  }
}
