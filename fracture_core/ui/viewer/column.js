/** The column beside the picture: the account, the settings, the findings, the downloads. */

import { Controls } from "./controls.js"
import { element, icon, setText } from "./elements.js"
import { account, classesAgree, tally } from "./findings.js"
import { FindingsTable } from "./table.js"

/** Rows for the table: findings by score, then the truths that were missed. */
export function tableRows(pane, findings, classes) {
  const nameOf = (names, label) => names[label] ?? `class ${label}`
  const rows = findings.rows.map((row) => ({
    id: `p${row.position}`,
    number: row.number,
    name: nameOf(pane.classes, findings.raw.labels[row.position]),
    score: findings.raw.scores[row.position],
    iou: row.iou,
    kind: row.kind,
  }))
  for (const truth of findings.missed) {
    const name = nameOf(classes, findings.truth.labels[truth])
    rows.push({ id: `t${truth}`, number: `GT${truth + 1}`, name, score: null, iou: null, kind: "missed" })
  }
  return rows
}

export class Column {
  constructor({ change, commit, hover, pick, choosePane, showBest, download }) {
    this.tabs = element("div", { class: "tabs", role: "tablist" })
    this.choosePane = choosePane
    this.account = element("p", { class: "account", role: "status" })
    this.tally = element("p", { class: "tally" })
    this.best = element("button", { type: "button", class: "tool words", onclick: showBest }, "Show best")
    this.controls = new Controls({ change, commit })
    this.table = new FindingsTable({ onHover: hover, onPick: pick })
    const file = (kind, words, label) =>
      element("button", { type: "button", class: "tool words", title: label, "data-download": kind, onclick: () => download(kind) }, icon("save"), words)
    const files = element("div", { class: "files" },
      file("coco", "COCO JSON", "The shown findings of all slices as COCO JSON"),
      file("png", "PNG", "The picture with overlays, in the present window"))
    this.root = element("aside", { class: "column", "aria-label": "Findings and settings" },
      this.tabs, element("div", { class: "words-block" }, this.account, element("div", { class: "tally-line" }, this.tally, this.best)),
      this.controls.root, this.table.root, files)
  }

  showTabs(panes, active) {
    this.tabs.hidden = panes.length < 2
    const tab = (pane, n) =>
      element("button", { type: "button", role: "tab", class: "tool words", "aria-selected": String(n === active), onclick: () => this.choosePane(n) }, pane.title)
    this.tabs.replaceChildren(...panes.map(tab))
  }

  show({ pane, findings, classes, state, lit, dotted }) {
    if (!pane) {
      setText(this.account, "No model is chosen.")
      setText(this.tally, "")
      this.best.hidden = true
      return this.table.show([], null)
    }
    setText(this.account, account(pane, findings, state))
    setText(this.tally, findings.raw === null ? "" : tally(findings, state))
    this.best.hidden = findings.rows.length > 0 || findings.best < 0
    this.best.setAttribute("aria-pressed", String(dotted))
    this.controls.show(state, {
      needsNms: pane.needs_nms,
      judged: findings.judged,
      comparable: classesAgree(pane, classes),
    })
    return this.table.show(tableRows(pane, findings, classes), lit)
  }
}
