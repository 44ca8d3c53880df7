/** One chart: Plotly draws it once, and the dial's mark moves above it without drawing it again. */

import { element, setText } from "./elements.js"
import { save, saveCsv } from "./files.js"

const HEIGHT = 290
const ORANGE = "#d55e00"

const PAPER = { text: "#1a1a1a", grid: "#dddddd", paper: "#ffffff", font: "sans-serif" }

function axisOf({ title, ...more }, style) {
  const range = more.type === "log" ? {} : { range: [-0.02, 1.02] }
  return { title: { text: title, standoff: 8 }, gridcolor: style.grid, linecolor: style.grid, zeroline: false, ...range, ...more }
}

function layoutOf(curve, style, more = {}) {
  return {
    margin: { l: 54, r: 10, t: 8, b: 44 },
    paper_bgcolor: style.paper,
    plot_bgcolor: style.paper,
    font: { color: style.text, family: style.font, size: 12 },
    showlegend: false,
    uirevision: "kept",
    hovermode: "closest",
    xaxis: axisOf(curve.xaxis, style),
    yaxis: axisOf(curve.yaxis, style),
    ...more,
  }
}

export class Chart {
  constructor(fileName) {
    this.fileName = fileName
    this.plot = element("div", { class: "dial-plot" })
    this.point = element("div", { class: "dial-marker", hidden: true, "aria-hidden": "true" })
    this.limit = element("div", { class: "dial-limit", hidden: true, "aria-hidden": "true" })
    this.note = element("p", { class: "dial-lacking" })
    this.title = element("b")
    this.reading = element("span", { class: "dial-note" })
    this.files = ["PNG", "SVG", "CSV"].map((kind) =>
      element("button", { type: "button", class: "dial-button dial-file", onclick: () => this.download(kind) }, kind),
    )
    const head = element("div", { class: "dial-panel-head" }, this.title, this.reading, ...this.files)
    const stage = element("div", { class: "dial-stage" }, this.plot, this.limit, this.point, this.note)
    this.root = element("section", { class: "dial-panel dial-chart" }, head, stage)
  }

  /** Another curve of the same kind: it is drawn in the old one's place, and a zoom stays. */
  use(curve) {
    this.curve = curve
    this.root.dataset.chart = curve.name
    setText(this.title, curve.title)
    setText(this.note, curve.defined ? "" : `Undefined: ${curve.lacking}`)
    this.plot.hidden = !curve.defined
    for (const button of this.files) button.disabled = !curve.defined
    if (curve.defined) return
    this.point.hidden = true
    this.limit.hidden = true
    setText(this.reading, "")
  }

  /** Draw for the first time, or in other colours. */
  async draw(plotly, style) {
    this.plotly = plotly
    if (!this.curve.defined) return
    const settings = { responsive: true, displaylogo: false, displayModeBar: false }
    await plotly.react(this.plot, this.curve.traces(), layoutOf(this.curve, style, { height: HEIGHT }), settings)
    if (this.drawn) return
    this.drawn = true
    for (const event of ["plotly_afterplot", "plotly_relayout", "plotly_relayouting"]) this.plot.on(event, () => this.put())
    this.put()
  }

  /** `here` names the place. */
  show(place, here) {
    this.place = place
    this.here = here
    if (!this.curve.defined) return
    if (this.curve.at) {
      const [x, y] = this.curve.said(place)
      const known = !Number.isNaN(x) && !Number.isNaN(y)
      setText(this.reading, known ? `${x.toFixed(3)}, ${y.toFixed(3)}` : "undefined here")
    } else setText(this.reading, `${this.curve.line(place).toFixed(3)}`)
    if (this.drawn) this.put()
  }

  /** The mark where the dial is; axes may be zoomed. */
  put() {
    const { xaxis, yaxis } = this.plot._fullLayout ?? {}
    if (!xaxis || this.place === undefined || !this.curve.defined) return
    const { curve, place } = this
    const [x, y] = curve.at ? curve.at(place) : [curve.line(place), NaN]
    const left = xaxis.d2p(x)
    if (curve.at) {
      const top = yaxis.d2p(y)
      const inside = left >= -1 && left <= xaxis._length + 1 && top >= -1 && top <= yaxis._length + 1
      this.point.hidden = !inside
      if (inside) this.point.style.transform = `translate(${xaxis._offset + left}px, ${yaxis._offset + top}px)`
      return
    }
    const width = Math.min(Math.max(left, 0), xaxis._length)
    this.limit.hidden = false
    this.limit.style.cssText = `left: ${xaxis._offset}px; top: ${yaxis._offset}px; width: ${width}px; height: ${yaxis._length}px`
  }

  close() {
    if (this.drawn) this.plotly.purge(this.plot)
  }

  async download(kind) {
    if (kind === "CSV") saveCsv(this.curve.rows(), `${this.fileName}.csv`)
    else await saveFigure(this.plotly, kind, this.fileName, this.figure())
  }

  /** What a paper shows: dark on white, with the dial's place. */
  figure() {
    const { curve, place } = this
    const here = curve.at
      ? [{ name: this.here, x: [curve.at(place)[0]], y: [curve.at(place)[1]], type: "scatter", mode: "markers", marker: { size: 11, color: ORANGE, symbol: "diamond" } }]
      : []
    const limit = curve.line ? { shapes: [{ type: "line", yref: "paper", x0: curve.line(place), x1: curve.line(place), y0: 0, y1: 1, line: { color: ORANGE, dash: "dash" } }] } : {}
    return { data: [...curve.traces(), ...here], layout: layoutOf(curve, PAPER, { title: { text: curve.title }, margin: { l: 64, r: 16, t: 48, b: 90 }, showlegend: true, legend: { orientation: "h", y: -0.2 }, ...limit }) }
  }
}

/** Save a figure as an image; PNG at three times the size. */
export async function saveFigure(plotly, kind, fileName, figure) {
  const format = kind.toLowerCase()
  const made = await plotly.toImage(figure, { format, width: 640, height: 480, scale: format === "png" ? 3 : 1 })
  save(await (await fetch(made)).blob(), `${fileName}.${format}`)
}
