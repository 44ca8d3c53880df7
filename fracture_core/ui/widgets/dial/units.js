/** What the dial can be read in. Each unit has its stops: knots with distinct values, value rising. */

import { reached } from "./figures.js"

const plain = (value) => value
const share = { toPosition: plain, toValue: plain, ticks: [0, 0.2, 0.4, 0.6, 0.8, 1], text: (value) => value.toFixed(3), typed: 3 }

// False positives an image are thought of in doublings: 1/8, 1/4 … 8.
const FIRST = 1 / 8
const RATES = [0, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32, 64]

function rates(values) {
  const most = Math.max(FIRST, values[values.length - 1])
  const whole = Math.log1p(most / FIRST)
  return {
    toPosition: (value) => Math.log1p(value / FIRST) / whole,
    toValue: (position) => FIRST * Math.expm1(position * whole),
    ticks: RATES.filter((rate) => rate <= most),
    text: (value) => value.toFixed(value < 10 ? 3 : 1),
    typed: 3,
  }
}

function confidences() {
  return { ...share, text: (value) => (value >= 0.001 || value === 0 ? value.toFixed(3) : value.toPrecision(2)) }
}

/** Knots at which the value is one that no earlier kept knot has; of equal ones the first or last. */
function stopsOf(values, keep) {
  const stops = []
  for (let place = 0; place < values.length; place++) {
    const same = stops.length && values[stops[stops.length - 1]] === values[place]
    if (!same) stops.push(place)
    else if (keep === "last") stops[stops.length - 1] = place
  }
  return stops
}

function unit(name, label, values, keep, scaleOf) {
  const defined = !Number.isNaN(values[0])
  const stops = defined ? stopsOf(values, keep) : []
  if (stops.length > 1 && values[stops[0]] > values[stops[stops.length - 1]]) stops.reverse()
  const scale = scaleOf(stops.map((place) => values[place]))
  return { name, label, values, stops, defined, ...scale }
}

/** The units of a table, undefined ones among them; without a ground truth for its dial only confidence. */
export function unitsOf(table) {
  const [first] = table.tallies
  const found = []
  if (first) {
    const at = Array.from(table.confidences, (_, place) => reached(first, place))
    const of = first.unit
    found.push(unit("sensitivity", `Sensitivity per ${of}`, at.map((one) => one.sensitivity.share), "first", () => share))
    if (of === "lesion") found.push(unit("fp", "FP per image", at.map((one) => one.perImage), "last", rates))
    else found.push(unit("specificity", `Specificity per ${of}`, at.map((one) => one.specificity.share), "last", () => share))
  }
  found.push(unit("confidence", "Confidence", Array.from(table.confidences), "first", confidences))
  return found
}

/** The stop whose value is nearest. */
export function stopAt({ values, stops }, value) {
  let low = 0
  let high = stops.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (values[stops[middle]] < value) low = middle + 1
    else high = middle
  }
  const below = low > 0 && value - values[stops[low - 1]] <= Math.abs(values[stops[low]] - value)
  return stops[below ? low - 1 : low]
}

/** The knot some stops further than where the dial is. */
export function stepFrom({ values, stops }, place, by) {
  const value = values[place]
  const beyond = by > 0 ? stops.findIndex((stop) => values[stop] > value) : stops.findLastIndex((stop) => values[stop] < value)
  if (beyond < 0) return stops[by > 0 ? stops.length - 1 : 0]
  const wanted = beyond + by - Math.sign(by)
  return stops[Math.min(Math.max(wanted, 0), stops.length - 1)]
}
