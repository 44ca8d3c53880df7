/**
 * What was measured of a model on a split: its share of hits at a confidence, the confidence of a
 * level, the worth of a score. The rules of fracture_core/models/points.py.
 */

/** How many of the falling `confidences` are at least `confidence`, or above it. */
function countAbove(confidences, confidence, included) {
  let [low, high] = [0, confidences.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const above = included ? confidences[middle] >= confidence : confidences[middle] > confidence
    if (above) low = middle + 1
    else high = middle
  }
  return low
}

// Between two knots a claim is never too good: hits of the next higher one, errors of the lower.
const hitsAt = ({ confidences, true_positives: hits }, confidence) => hits[countAbove(confidences, confidence, true) - 1] ?? 0

function errorsAt({ confidences }, errors, confidence) {
  return errors[Math.min(countAbove(confidences, confidence, false), errors.length - 1)] ?? 0
}

/** {count, total} of lesions or images, by `measured.unit`. */
export function sensitivityAt({ knots }, confidence) {
  return { count: hitsAt(knots, confidence), total: knots.positives }
}

/** {count, total} of the images without a ground truth. */
export function specificityAt({ knots }, confidence) {
  return { count: knots.negatives - errorsAt(knots, knots.false_alarms, confidence), total: knots.negatives }
}

/** False positives an image; null, undefined, where no image was measured. */
export function fpPerImageAt({ knots }, confidence) {
  return knots.images ? errorsAt(knots, knots.false_positives, confidence) / knots.images : null
}

/**
 * {confidence, met}: the highest confidence with at least this sensitivity, or the lowest with at
 * most these false positives an image; the nearest knot where none meets the level. Null where the
 * level is undefined for this model.
 */
export function confidenceAt({ knots }, unit, level) {
  const { confidences, true_positives: hits, false_positives: wrong, positives, images } = knots
  const last = confidences.length - 1
  if (last < 0 || !(unit === "sensitivity" ? positives : images)) return null
  if (unit === "sensitivity") {
    const at = hits.findIndex((count) => count / positives >= level)
    return { confidence: confidences[at < 0 ? last : at], met: at >= 0 }
  }
  const at = wrong.findLastIndex((count) => count / images <= level)
  return { confidence: confidences[Math.max(at, 0)], met: at >= 0 }
}

/** The level that a confidence reaches; null where it is undefined. */
export function levelAt(measured, unit, confidence) {
  if (unit === "fp_per_image") return fpPerImageAt(measured, confidence)
  const { count, total } = sensitivityAt(measured, confidence)
  return total ? count / total : null
}

/** {low, high, right, total}: what became of findings scored like this one; null outside all bins. */
export function evidenceFor({ evidence }, score) {
  return evidence.find(({ low, high }) => (low <= score && score < high) || (score === high && high === 1)) ?? null
}

/** How certain a finding is: solid, dashed or dotted; solid too where nothing was measured. */
export function lineOf(measured, score) {
  const dashed = measured?.dashed_above ?? null
  const solid = measured?.solid_above ?? null
  if (solid !== null && score >= solid) return "solid"
  if (dashed !== null) return score >= dashed ? "dashed" : "dotted"
  return solid === null ? "solid" : "dashed"
}
