/** Figures of counts, by the rules of `fracture_core.metrics.intervals` and `evaluations.dial`. */

// The normal quantile of 0.975.
const Z = 1.959963984540054
export const UNDEFINED = "undefined"

/** {count, total, share, low, high}: a share with Wilson's 95 % interval; NaN of nothing. */
export function proportion(count, total) {
  if (total === 0) return { count, total, share: NaN, low: NaN, high: NaN }
  const share = count / total
  const shrink = 1 + (Z * Z) / total
  const centre = (share + (Z * Z) / (2 * total)) / shrink
  const half = (Z * Math.sqrt((share * (1 - share)) / total + (Z * Z) / (4 * total * total))) / shrink
  return { count, total, share, low: count === 0 ? 0 : centre - half, high: count === total ? 1 : centre + half }
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
