/** Intervals of counted shares, by the rule of fracture_core/metrics/intervals.py. */

// The normal quantile of 0.975, as Python's NormalDist has it.
const Z = 1.9599639845400536

/** Ends of Wilson's 95 % interval of `count` out of `total`; null, undefined, where `total` is 0. */
export function wilson(count, total) {
  if (total === 0) return null
  const share = count / total
  const shrink = 1 + (Z * Z) / total
  const centre = (share + (Z * Z) / (2 * total)) / shrink
  const half = (Z * Math.sqrt((share * (1 - share)) / total + (Z * Z) / (4 * total * total))) / shrink
  return [count === 0 ? 0 : centre - half, count === total ? 1 : centre + half]
}
