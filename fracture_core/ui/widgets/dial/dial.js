/** The dial: one confidence, read in the reader's unit, that moves every curve, count and matrix. */

import { Cards } from "./cards.js"
import { Chart, saveFigure } from "./chart.js"
import { ClassTable } from "./class_table.js"
import { Handshake, mountOf } from "./component.js"
import { chartsOf } from "./curves.js"
import { element } from "./elements.js"
import { shareText } from "./figures.js"
import { saveCsv } from "./files.js"
import { Matrix } from "./matrix.js"
import { plotlyOf } from "./plotly.js"
import { Slider } from "./slider.js"
import { placeOf, tableOf } from "./table.js"
import { unitsOf } from "./units.js"

class Dial {
  constructor(parent) {
    this.slider = new Slider({
      move: (place, dragging) => this.move(place, dragging),
      commit: (wait) => this.commit(wait),
      choose: (name) => this.choose(name),
    })
    this.handshake = new Handshake()
    this.cards = new Cards()
    this.classes = new ClassTable()
    this.grid = element("div", { class: "dial-grid" })
    this.note = element("p", { class: "dial-wait" }, "Loading…")
    this.legend = element("p", { class: "dial-legend" }, element("span", { class: "dial-diamond" }), "where the dial is", element("span", { class: "dial-band" }), "95 % interval (Wilson, pointwise)")
    const body = element("div", { class: "dial-body" }, this.cards.root, this.legend, this.grid, this.classes.root)
    this.root = element("div", { class: "dial dial-loading" }, this.note, this.slider.root, body)
    this.root.dial = this
    this.charts = []
    this.matrices = []
    this.normalised = new Map()
    this.host = element("div", { class: "dial-host" }, this.root)
    parent.append(this.host)
  }

  // ---- what Python sends -------------------------------------------------------------------

  receive(component) {
    this.component = component
    const { data } = component
    const asked = this.handshake.asked(data.forced)
    const forced = asked !== null
    if (forced) this.state = asked
    if (data.table !== this.url) this.open(data)
    else if (this.table) {
      const points = JSON.stringify(data.points)
      if (points !== this.points) this.fillSlider(data)
      if (forced) this.move(placeOf(this.table, this.state.confidence), false)
      else this.show(false)
      this.paint()
    }
  }

  async open(data) {
    this.url = data.table
    try {
      const table = await tableOf(data.table)
      if (this.url === data.table) this.take(table, this.component.data)
    } catch (error) {
      this.note.textContent = error.message
      this.note.hidden = false
    }
  }

  take(table, data) {
    this.table = table
    this.note.hidden = true
    this.root.classList.remove("dial-loading")
    this.slider.root.hidden = !table.tallies.length
    this.fillSlider(data)
    this.cards.fill(table)
    this.classes.fill(table.byClass)
    this.fillCharts(chartsOf(table), data.name)
    const actions = {
      open: (...parts) => this.openCell(...parts),
      download: (matrix, kind) => this.downloadMatrix(matrix, kind),
      normalise: (sheet, shares) => this.normalised.set(sheet.name, shares),
    }
    this.legend.hidden = !this.charts.length
    this.matrices = table.sheets.map((sheet) => new Matrix(sheet, actions, this.normalised.get(sheet.name)))
    this.grid.replaceChildren(...[...this.charts, ...this.matrices].map(({ root }) => root))
    this.painted = null
    this.move(placeOf(table, this.state.confidence), false)
    this.paint()
  }

  /** A curve that was there before keeps its chart. */
  fillCharts(curves, name) {
    const held = new Map(this.charts.map((chart) => [chart.fileName, chart]))
    this.charts = curves.map((curve) => {
      const fileName = `${name}-${curve.name}`
      const chart = held.get(fileName) ?? new Chart(fileName)
      held.delete(fileName)
      chart.use(curve)
      return chart
    })
    for (const chart of held.values()) chart.close()
  }

  fillSlider(data) {
    this.points = JSON.stringify(data.points)
    this.units = unitsOf(this.table)
    this.slider.fill(this.table, this.units, data.points)
  }

  /** Curves are drawn when they are new, or the page has other colours. */
  async paint() {
    const style = this.style()
    const text = JSON.stringify(style)
    if (text === this.painted) return
    this.painted = text
    try {
      const plotly = await plotlyOf(this.component.data.plotly)
      for (const chart of this.charts) await chart.draw(plotly, style)
      this.root.dataset.painted = "true"
    } catch (error) {
      this.painted = null
      this.note.textContent = `${error.message}; reload the page.`
      this.note.hidden = false
    }
  }

  style() {
    const style = getComputedStyle(this.root)
    const named = (name, other) => style.getPropertyValue(name).trim() || other
    return { text: named("--st-text-color", style.color), grid: named("--st-border-color", "#8884"), font: named("--st-font", style.fontFamily), paper: "rgba(0,0,0,0)" }
  }

  // ---- moving ------------------------------------------------------------------------------

  get unit() {
    const named = this.units.find(({ name, defined }) => defined && name === this.state.unit)
    return named ?? this.units.find(({ defined }) => defined)
  }

  move(place, dragging) {
    this.place = place
    this.state.confidence = this.table.confidences[place]
    this.show(dragging)
  }

  show(dragging) {
    const { place } = this
    this.slider.show(this.unit, place, dragging)
    this.cards.show(place)
    const here = `confidence ≥ ${this.state.confidence.toFixed(3)}`
    for (const chart of this.charts) chart.show(place, here)
    for (const matrix of this.matrices) matrix.show(place)
    this.classes.show(place)
  }

  choose(name) {
    this.state.unit = name
    this.show(false)
    this.commit()
  }

  /** Tell Python, once a change is complete and only where something differs. */
  commit(wait = 0) {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.report(), wait)
  }

  report() {
    this.handshake.tell(this.component, this.state)
  }

  // ---- matrices ----------------------------------------------------------------------------

  openCell(sheet, row, column) {
    clearTimeout(this.timer)
    this.report()
    this.component.setTriggerValue("cell", { sheet: sheet.name, row, column, confidence: this.state.confidence })
  }

  async downloadMatrix(matrix, kind) {
    const { sheet, shares } = matrix
    const normalised = shares !== "counts"
    const name = `${this.component.data.name}-confusion-${sheet.name}${normalised ? `-by-${shares}` : ""}`
    const counts = matrix.values(this.place)
    const parts = matrix.sharesOf(counts)
    const values = (normalised ? parts : counts).map((line, n) => line.map((one, k) => (matrix.counts(n, k) ? one : "")))
    const rows = matrix.rows.map((n) => sheet.rows[n])
    const columns = matrix.columns.map((n) => sheet.columns[n])
    if (kind === "CSV") {
      saveCsv([["ground truth \\ found", ...columns], ...values.map((line, n) => [rows[n], ...line])], `${name}.csv`)
      return
    }
    const words = values.map((line) => line.map((one) => (normalised && one !== "" ? shareText(one, 2) : one)))
    const heat = { type: "heatmap", z: parts.map((line) => line.map((one) => one || 0)), x: columns, y: rows, text: words, texttemplate: "%{text}", zmin: 0, zmax: 1, colorscale: [[0, "#ffffff"], [1, "#0072b2"]], colorbar: { title: { text: `share of the ${shares === "column" ? "column" : "row"}` } } }
    const layout = { xaxis: { title: { text: "found" }, type: "category", automargin: true }, yaxis: { title: { text: "ground truth" }, type: "category", autorange: "reversed", automargin: true }, title: { text: sheet.fixed ? "Classes by the highest score" : `Confidence ≥ ${this.state.confidence.toFixed(3)}` } }
    const plotly = await plotlyOf(this.component.data.plotly)
    await saveFigure(plotly, kind, name, { data: [heat], layout })
  }

  close() {
    clearTimeout(this.timer)
    for (const chart of this.charts) chart.close()
    this.host.remove()
  }
}

/** Put up the dial under a component's root, or hand new data to the one that is there. */
export const mount = mountOf(Dial)
