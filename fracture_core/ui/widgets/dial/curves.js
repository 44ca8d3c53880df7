/** The curves of a table as Plotly's traces, and where on each the dial is. */

import { proportion, reached } from "./figures.js"

// Okabe and Ito (2008).
export const BLUE = "#0072b2"
const BAND = "rgba(86, 180, 233, 0.28)"
const RATES = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32, 64]
const GREY = "#8a8f94"

function line(x, y, name, more = {}) {
  return { x, y, name, type: "scatter", mode: "lines", line: { color: BLUE, width: 2, shape: "linear" }, hoverinfo: "x+y", ...more }
}

/** An area from the lower to the upper ends; where an end is undefined there is none. */
function band(x, low, high) {
  const there = x.map((_, n) => n).filter((n) => !Number.isNaN(low[n]) && !Number.isNaN(high[n]))
  const back = [...there].reverse()
  return {
    x: [...there.map((n) => x[n]), ...back.map((n) => x[n])],
    y: [...there.map((n) => low[n]), ...back.map((n) => high[n])],
    type: "scatter",
    mode: "lines",
    fill: "toself",
    fillcolor: BAND,
    line: { width: 0 },
    hoverinfo: "skip",
    name: "95 % interval (Wilson, pointwise)",
  }
}

function readings(table, tally) {
  return Array.from(table.confidences, (_, place) => reached(tally, place))
}

/** A curve of one proportion over `xOf`; its CSV has the counts. */
function shareCurve(table, tally, parts) {
  const at = readings(table, tally)
  const x = at.map((one) => parts.x(one))
  const shares = at.map(parts.y)
  const y = shares.map(({ share }) => share)
  const defined = x.some((value, n) => !Number.isNaN(value) && !Number.isNaN(y[n]))
  return {
    ...parts,
    defined,
    at: (place) => [x[place], y[place]],
    said: (place) => [(parts.exact ?? parts.x)(at[place]), y[place]],
    traces: () => [band(x, shares.map(({ low }) => low), shares.map(({ high }) => high)), line(x, y, parts.title), ...(parts.more ?? [])],
    rows: () => [
      ["confidence", parts.xName, parts.yName, "low", "high", "count", "total"],
      ...shares.map((one, n) => [table.confidences[n], (parts.exact ?? parts.x)(at[n]), one.share, one.low, one.high, one.count, one.total]),
    ],
  }
}

function froc(table, tally) {
  const least = 0.5 / Math.max(tally.images, 1)
  const most = Math.max(8, tally.wrong[tally.wrong.length - 1] / Math.max(tally.images, 1))
  // On an axis of ratios there is no 0: it stands at its left end, less than one in all images.
  const start = Math.max(least, 1 / 64)
  const rates = RATES.filter((rate) => rate > 1.5 * start && rate <= most)
  return shareCurve(table, tally, {
    name: "froc",
    title: "FROC",
    xName: "fp_per_image",
    yName: "sensitivity",
    x: (one) => Math.max(one.perImage, start),
    exact: (one) => one.perImage,
    y: (one) => one.sensitivity,
    xaxis: {
      title: "false positives per image",
      type: "log",
      range: [Math.log10(start) - 0.02, Math.log10(most) + 0.02],
      tickvals: [start, ...rates],
      ticktext: ["0", ...rates.map((rate) => (rate < 1 ? `1/${1 / rate}` : String(rate)))],
    },
    yaxis: { title: "sensitivity per lesion" },
    lacking: "There is no lesion to find.",
  })
}

function precisionRecall(table, tally) {
  return shareCurve(table, tally, {
    name: "precision-recall",
    title: "Precision–recall",
    xName: "recall",
    yName: "precision",
    x: (one) => one.sensitivity.share,
    y: (one) => one.precision,
    xaxis: { title: `recall (sensitivity) per ${tally.unit}` },
    yaxis: { title: `precision per ${tally.unit}` },
    lacking: "There is no lesion to find.",
  })
}

function roc(table, tally) {
  return shareCurve(table, tally, {
    name: `roc-${tally.unit}`,
    title: tally.unit === "study" ? "ROC of studies" : "ROC of images",
    xName: "false_positive_rate",
    yName: "sensitivity",
    x: (one) => 1 - one.specificity.share,
    y: (one) => one.sensitivity,
    xaxis: { title: `false-positive rate per ${tally.unit} (1 − specificity)` },
    yaxis: { title: `sensitivity per ${tally.unit}` },
    more: [line([0, 1], [0, 1], "chance", { line: { color: GREY, width: 1, dash: "dot" }, hoverinfo: "skip" })],
    lacking: tally.positives ? `There is no negative ${tally.unit}.` : `There is no positive ${tally.unit}.`,
  })
}

function f1(table, tally) {
  const x = Array.from(table.confidences)
  const at = readings(table, tally)
  const y = at.map((one) => one.f1)
  return {
    name: "f1",
    title: "F1 over confidence",
    xaxis: { title: "confidence" },
    yaxis: { title: `F1 per ${tally.unit}` },
    defined: tally.positives > 0,
    lacking: "There is no lesion to find.",
    at: (place) => [x[place], y[place]],
    said: (place) => [x[place], y[place]],
    traces: () => [line(x, y, "F1")],
    rows: () => [
      ["confidence", "f1", "true_positives", "false_positives", "missed"],
      ...at.map((one, n) => [x[n], one.f1, one.hits, one.wrong, one.missed]),
    ],
  }
}

/** Bins of scores: how often right, and how sure that is. `at` marks what is still shown. */
function reliability(table, tally) {
  const bins = (table.reliability?.bins ?? []).filter(({ total }) => total)
  const shares = bins.map(({ right, total }) => proportion(right, total))
  const x = bins.map(({ mean }) => mean)
  const y = shares.map(({ share }) => share)
  const ece = table.reliability?.ece
  const bars = {
    ...line(x, y, "right", { mode: "lines+markers", marker: { size: 7, color: BLUE } }),
    text: bins.map(({ right, total }) => `${right} of ${total} right`),
    hoverinfo: "x+y+text",
    error_y: {
      type: "data",
      symmetric: false,
      array: shares.map(({ share, high }) => high - share),
      arrayminus: shares.map(({ share, low }) => share - low),
      color: BLUE,
      thickness: 1.2,
      width: 3,
    },
  }
  const of = tally.unit === "lesion" ? "findings that match a lesion" : "positive images"
  return {
    name: "reliability",
    title: bins.length ? `Reliability (ECE ${ece.toFixed(3)})` : "Reliability",
    xaxis: { title: "confidence, mean of the bin" },
    yaxis: { title: `share of ${of}` },
    defined: bins.length > 0,
    lacking: "Nothing was found.",
    line: (place) => table.confidences[place],
    traces: () => [line([0, 1], [0, 1], "score = share", { line: { color: GREY, width: 1, dash: "dot" }, hoverinfo: "skip" }), bars],
    rows: () => [
      ["low", "high", "mean_score", "share_right", "interval_low", "interval_high", "right", "total"],
      ...bins.map((bin, n) => [bin.low, bin.high, bin.mean, y[n], shares[n].low, shares[n].high, bin.right, bin.total]),
    ],
  }
}

/** The charts that make sense of a table, the main one first. */
export function chartsOf(table) {
  const of = (unit) => table.tallies.find((tally) => tally.unit === unit)
  const [lesions, images, studies] = [of("lesion"), of("image"), of("study")]
  const first = lesions ?? images
  if (!first) return []
  return [
    ...(lesions ? [froc(table, lesions)] : []),
    precisionRecall(table, first),
    roc(table, images),
    ...(studies ? [roc(table, studies)] : []),
    f1(table, first),
    reliability(table, first),
  ]
}
