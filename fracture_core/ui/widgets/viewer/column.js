/** The column beside the image: the account, the settings, the findings, the downloads. */

import { PlacesTable } from "./agreement_table.js"
import { accountOfAll, letterOf, placeRows } from "./comparison.js"
import { ClassScores } from "./class_scores.js"
import { Controls } from "./controls.js"
import { element, icon, setText } from "./elements.js"
import { Evidence, worthIn, worthOf } from "./evidence.js"
import { ExplanationPanel } from "./explanation.js"
import { account, tally } from "./findings.js"
import { Sharing } from "./sharing.js"
import { FindingsTable } from "./table.js"

/** Rows for the table: findings by score, then the ground truths that were missed. */
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
  for (const groundTruth of findings.missed) {
    const name = nameOf(classes, findings.groundTruth.labels[groundTruth])
    rows.push({ id: `t${groundTruth}`, number: `GT${groundTruth + 1}`, name, score: null, iou: null, kind: "missed" })
  }
  return rows
}

export class Column {
  constructor({ change, commit, hover, pick, choosePane, showBest, download, chooseUnit, toggleOwn, toggleLacking, explain }) {
    this.tabs = element("div", { class: "tabs", role: "tablist" })
    this.choosePane = choosePane
    this.account = element("p", { class: "account", role: "status" })
    this.tally = element("p", { class: "tally" })
    this.best = element("button", { type: "button", class: "tool words", onclick: showBest }, "Show best")
    this.controls = new Controls({ change, commit, chooseUnit })
    this.tables = { one: new FindingsTable({ onHover: hover, onPick: pick }), many: new PlacesTable({ onHover: hover, onPick: pick, label: "Places" }) }
    this.table = this.tables.one
    this.evidence = new Evidence()
    this.sharing = new Sharing({ toggleOwn, toggleLacking })
    this.scores = new ClassScores()
    this.explanation = new ExplanationPanel(explain)
    const file = (kind, words, label) =>
      element("button", { type: "button", class: "tool words", title: label, "data-download": kind, onclick: () => download(kind) }, icon("save"), words)
    this.coco = file("coco", "COCO JSON", "The shown findings of all slices as COCO JSON")
    const files = element("div", { class: "files" }, this.coco,
      file("png", "PNG", "The image with overlays, in the present window"))
    this.root = element("aside", { class: "column", "aria-label": "Findings and settings" },
      this.tabs, element("div", { class: "words-block" }, this.account, element("div", { class: "tally-line" }, this.tally, this.best)),
      this.sharing.root, this.controls.root, this.tables.one.root, this.tables.many.root, this.scores.root, this.evidence.root, this.explanation.root, files)
  }

  showTabs(panes, active) {
    const many = panes.length > 1
    this.tabs.hidden = this.sharing.root.hidden = this.tables.many.root.hidden = !many
    this.tables.one.root.hidden = many
    this.table = many ? this.tables.many : this.tables.one
    this.tables.many.setPanes(panes)
    this.tables.one.worth = worthIn(panes[active])
    const tab = ({ title }, n) =>
      element("button", { type: "button", role: "tab", class: "tool words", title, "aria-selected": String(n === active), onclick: () => this.choosePane(n) }, `${letterOf(n)}  ${title}`)
    this.tabs.replaceChildren(...panes.map(tab))
  }

  close() {
    this.tables.one.close()
    this.tables.many.close()
  }

  /** `state` is the pane's own; `compared` is {comparison, panes, active} where there are many. */
  show({ panes, pane, active, findings, classes, state, lit, dotted, compared, explaining }) {
    if (!pane) {
      setText(this.account, "No model is chosen.")
      setText(this.tally, "")
      this.best.hidden = true
      return this.table.show([], null)
    }
    const told = findings.raw === null ? "" : tally(findings, state)
    setText(this.account, compared ? accountOfAll(compared.comparison) : account(pane, findings, state))
    setText(this.tally, compared ? `${letterOf(compared.active)}: ${told || "no prediction"}` : told)
    this.sharing.show(state)
    this.best.hidden = findings.rows.length > 0 || findings.best < 0
    this.best.setAttribute("aria-pressed", String(dotted))
    this.showKind(pane, findings, Boolean(compared))
    this.showExplanation(pane, findings, state, explaining)
    this.evidence.show(worthOf({ pane, findings, state, lit, chosen: explaining.what, compared }))
    this.controls.show(state, {
      panes,
      active,
      needsNms: compared && !state.own.length ? compared.panes.some((one) => one.needs_nms) : pane.needs_nms,
      judged: findings.judged,
      comparable: pane.comparable,
    })
    const rows = compared ? placeRows(compared.comparison, compared.panes, classes) : tableRows(pane, findings, classes)
    return this.table.show(rows, lit, explaining.what === null ? null : `p${explaining.what}`, state)
  }

  /** Boxes with their settings, or class scores; models that are compared keep the settings. */
  showKind(pane, findings, many) {
    const classify = pane.task === "classify" && !many
    this.scores.root.hidden = !classify
    this.controls.root.hidden = classify && !pane.measured
    this.coco.hidden = classify
    if (!many) this.tables.one.root.hidden = classify
    this.tally.parentElement.hidden = classify
    if (classify) this.scores.show(findings.classified, pane.healthy)
  }

  showExplanation(pane, findings, state, explaining) {
    if (!pane) return
    const { what } = explaining
    const predicted = findings.raw !== null
    const row = findings.rows.find(({ position }) => position === what)
    let chosen = null
    if (predicted && typeof what === "number") {
      const name = pane.classes[findings.raw.labels[what]] ?? `class ${findings.raw.labels[what]}`
      const words = row ? `finding ${row.number}` : "hidden finding"
      chosen = { what, words, title: `${row ? `Finding ${row.number}` : "Hidden finding"}: ${name}, ${findings.raw.scores[what].toFixed(2)}` }
    }
    this.explanation.show({ ...explaining, chosen, predicted, opacity: state.map_opacity, classify: pane.task === "classify", hasGate: pane.has_gate })
  }
}
