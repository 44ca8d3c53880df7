/** Figures of counts, by the rules of `fracture_core.metrics.intervals` and `evaluations.dial`. */

import { wilson } from "./intervals.js"

export const UNDEFINED = "undefined"

/** {count, total, share, low, high}: a share with Wilson's 95 % interval; NaN of nothing. */
export function proportion(count, total) {
  const [low, high] = wilson(count, total) ?? [NaN, NaN]
  return { count, total, share: total === 0 ? NaN : count / total, low, high }
}

/** All that a tally says at one knot. */
export function reached(tally, place) {
  const hits = tally.hits[place]
  const wrong = tally.wrong[place]
  const { positives, negatives, images } = tally
  const missed = positives - hits
  const silent = negatives ? negatives - wrong : 0
  const whole = positives + hits + wrong
  return {
    hits,
    wrong,
    missed,
    silent,
    sensitivity: proportion(hits, positives),
    precision: proportion(hits, hits + wrong),
    specificity: proportion(silent, negatives ?? 0),
    negativeValue: proportion(silent, negatives ? silent + missed : 0),
    f1: whole ? (2 * hits) / whole : NaN,
    perImage: images ? wrong / images : NaN,
  }
}

export function shareText(value, digits = 3) {
  return Number.isNaN(value) ? UNDEFINED : value.toFixed(digits)
}

export function countText(value) {
  return value.toLocaleString("en")
}

/** "0.86–0.95, n = 64", or why there is none. */
export function basisText({ low, high, total }) {
  return total ? `${low.toFixed(2)}–${high.toFixed(2)}, n = ${countText(total)}` : "n = 0"
}
