// Curves that keep the reader's zoom while they grow. Streamlit's own chart is mounted anew with
// every change; here plotly is asked to go on with the chart it has.
import { plotlyOf } from "./plotly.js"

const charts = new WeakMap()
const configs = new WeakMap()

// Okabe and Ito (2008), told apart by eyes of all kinds; the dash tells train from validation.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"]

function axis(title, style, more = {}) {
  return {
    title: { text: title },
    gridcolor: style.border,
    zeroline: false,
    automargin: true,
    ...more,
  }
}

const rangeOf = (range) => (range ? { range } : undefined)

function layoutOf(panels, style) {
  const layout = {
    uirevision: "kept",
    height: 300 * Math.ceil(panels.length / 2),
    margin: { l: 48, r: 12, t: 28, b: 72 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: style.text, family: style.font, size: 12 },
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom" },
    hovermode: "x unified",
    grid: { rows: Math.ceil(panels.length / 2), columns: Math.min(2, panels.length), pattern: "independent" },
    annotations: [],
  }
  panels.forEach((panel, place) => {
    const suffix = place ? String(place + 1) : ""
    layout[`xaxis${suffix}`] = axis(panel.x, style, rangeOf(panel.x_range))
    layout[`yaxis${suffix}`] = axis(panel.title, style, rangeOf(panel.y_range) ?? { rangemode: "tozero" })
  })
  return layout
}

function modeOf(curve) {
  if (curve.mark) return "markers"
  return curve.x.length < 40 ? "lines+markers" : "lines"
}

function tracesOf(panels) {
  const named = new Set()
  return panels.flatMap((panel, place) =>
    panel.curves.map((curve) => {
      const first = !curve.mark && !named.has(curve.name)
      named.add(curve.name)
      return {
        x: curve.x,
        y: curve.y,
        name: curve.name,
        legendgroup: curve.name,
        showlegend: first,
        type: "scatter",
        mode: modeOf(curve),
        line: { color: COLOURS[curve.run % COLOURS.length], dash: curve.dash, width: 2 },
        marker: curve.mark ? { size: 12, symbol: "diamond", line: { width: 1.5, color: "#fff" } } : { size: 5 },
        xaxis: place ? `x${place + 1}` : "x",
        yaxis: place ? `y${place + 1}` : "y",
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
        tracesOf(data.panels),
        layoutOf(data.panels, styleOf(parentElement)),
        configOf(box, plotly, data.name),
      ),
    (error) => {
      box.textContent = `${error.message}; reload the page.`
    },
  )
}
