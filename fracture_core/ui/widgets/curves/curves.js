// Curves that keep the reader's zoom while they grow. Streamlit's own chart is mounted anew with
// every change; here plotly is asked to go on with the chart it has.
import { plotlyOf } from "./plotly.js"

const charts = new WeakMap()
const configs = new WeakMap()

// Okabe and Ito (2008), told apart by eyes of all kinds; the dash tells train from validation.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"]

function axis(title, style, more = {}) {
  return {
    title: { text: title, standoff: 8 },
    gridcolor: style.border,
    zeroline: false,
    automargin: true,
    ...more,
  }
}

const rangeOf = (range) => (range ? { range } : undefined)

const COLUMNS = 2
// In pixels: a row of panels with what stands above and below it, and the part of it between them.
const ROW = 300
const BETWEEN = 96
const MARGIN = { l: 48, r: 12, t: 28, b: 72 }
// The share of the width between two panels.
const GAP = 0.09

const suffixOf = (place) => (place ? String(place + 1) : "")

/** Where a panel stands in the chart, in shares from the lower left corner, with room for its legend. */
function domainOf(place, count) {
  const rows = Math.ceil(count / COLUMNS)
  const high = rows * ROW - MARGIN.t - MARGIN.b
  const between = BETWEEN / high
  const height = (1 - between * (rows - 1)) / rows
  const width = count > 1 ? (1 - GAP) / COLUMNS : 1
  const left = (place % COLUMNS) * (width + GAP)
  const top = 1 - Math.floor(place / COLUMNS) * (height + between)
  return { x: [left, Math.min(1, left + width)], y: [Math.max(0, top - height), top] }
}

/** The curves of each panel are named above it. */
function legendsOf(panels) {
  return Object.fromEntries(
    panels.map((_, place) => {
      const { x, y } = domainOf(place, panels.length)
      const above = { x: x[0], xanchor: "left", y: y[1], yanchor: "bottom" }
      return [`legend${suffixOf(place)}`, { orientation: "h", bgcolor: "rgba(0,0,0,0)", ...above }]
    }),
  )
}

function linesOf(panels) {
  return panels.flatMap((panel, place) =>
    panel.lines.map(({ x, run, label }) => ({
      type: "line",
      xref: `x${suffixOf(place)}`,
      yref: `y${suffixOf(place)} domain`,
      x0: x,
      x1: x,
      y0: 0,
      y1: 1,
      layer: "below",
      line: { color: COLOURS[run % COLOURS.length], dash: "dash", width: 1.5 },
      label: { text: label, textposition: "end", textangle: 0, xanchor: "right", yanchor: "top" },
    })),
  )
}

function layoutOf(panels, style, legends) {
  const each = legends === "each"
  const layout = {
    uirevision: "kept",
    height: ROW * Math.ceil(panels.length / COLUMNS),
    margin: legends === "above" ? { ...MARGIN, t: 64, b: 48 } : MARGIN,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: style.text, family: style.font, size: 12 },
    hovermode: "x unified",
    annotations: [],
    shapes: linesOf(panels),
    ...(each ? legendsOf(panels) : { legend: legendOf(legends), grid: gridOf(panels) }),
  }
  panels.forEach((panel, place) => {
    const suffix = suffixOf(place)
    const domain = each ? domainOf(place, panels.length) : {}
    layout[`xaxis${suffix}`] = axis(panel.x, style, { ...rangeOf(panel.x_range), ...placed(domain.x, `y${suffix}`) })
    layout[`yaxis${suffix}`] = axis(panel.title, style, {
      ...(rangeOf(panel.y_range) ?? { rangemode: "tozero" }),
      ...placed(domain.y, `x${suffix}`),
    })
  })
  return layout
}

const placed = (domain, anchor) => (domain ? { domain, anchor } : {})

/** One legend for all panels, at an edge of the chart. */
function legendOf(legends) {
  const edge = legends === "above" ? { y: 1, yanchor: "top" } : { y: 0, yanchor: "bottom" }
  return { orientation: "h", yref: "container", ...edge }
}

function gridOf(panels) {
  const rows = Math.ceil(panels.length / COLUMNS)
  return { rows, columns: Math.min(COLUMNS, panels.length), pattern: "independent" }
}

function modeOf(curve) {
  if (curve.mark) return "markers"
  return curve.x.length < 40 ? "lines+markers" : "lines"
}

function tracesOf(panels, legends) {
  const named = new Set()
  const each = legends === "each"
  return panels.flatMap((panel, place) =>
    panel.curves.map((curve) => {
      const first = !curve.mark && (each || !named.has(curve.name))
      named.add(curve.name)
      return {
        x: curve.x,
        y: curve.y,
        name: curve.name,
        showlegend: first,
        ...(each ? { legend: `legend${suffixOf(place)}` } : { legendgroup: curve.name }),
        type: "scatter",
        mode: modeOf(curve),
        line: { color: COLOURS[curve.run % COLOURS.length], dash: curve.dash, width: 2 },
        marker: curve.mark ? { size: 12, symbol: "diamond", line: { width: 1.5, color: "#fff" } } : { size: 5 },
        xaxis: `x${suffixOf(place)}`,
        yaxis: `y${suffixOf(place)}`,
      }
    }),
  )
}

/** Saved as for paper: dark words on white, whatever the theme of the page. */
function saving(plotly, name, format) {
  return (box) => {
    const paper = { paper_bgcolor: "#fff", plot_bgcolor: "#fff", font: { ...box.layout.font, color: "#111" } }
    const figure = { data: box.data, layout: { ...box.layout, ...paper } }
    const size = { width: Math.max(900, box.clientWidth), height: Math.max(420, box.clientHeight) }
    return plotly.downloadImage(figure, { format, filename: name, ...size })
  }
}

function buttonsOf(plotly, name) {
  return ["png", "svg"].map((format) => ({
    name: `save-${format}`,
    title: `Save as ${format.toUpperCase()}`,
    icon: plotly.Icons[format === "png" ? "camera" : "disk"],
    click: saving(plotly, name, format),
  }))
}

/** Made once a chart: plotly takes buttons of another identity for another chart and drops the zoom. */
function configOf(box, plotly, name) {
  if (!configs.has(box)) {
    configs.set(box, {
      responsive: true,
      displaylogo: false,
      modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"],
      modeBarButtonsToAdd: buttonsOf(plotly, name),
    })
  }
  return configs.get(box)
}

function styleOf(element) {
  const style = getComputedStyle(element)
  const named = (name, other) => style.getPropertyValue(name).trim() || other
  return {
    text: named("--st-text-color", style.color),
    border: named("--st-border-color", "#8884"),
    font: named("--st-font", style.fontFamily),
  }
}

export function mount({ parentElement, data }) {
  let box = charts.get(parentElement)
  if (!box) {
    box = document.createElement("div")
    box.className = "curves"
    parentElement.append(box)
    charts.set(parentElement, box)
  }
  box.dataset.points = String(
    data.panels.reduce((sum, panel) => sum + panel.curves.reduce((n, one) => n + one.x.length, 0), 0),
  )
  plotlyOf(data.plotly).then(
    (plotly) =>
      plotly.react(
        box,
        tracesOf(data.panels, data.legends),
        layoutOf(data.panels, styleOf(parentElement), data.legends),
        configOf(box, plotly, data.name),
      ),
    (error) => {
      box.textContent = `${error.message}; reload the page.`
    },
  )
}
