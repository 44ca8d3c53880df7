/**
 * The only filter of the product, as fracture_core/boxes.py, types.py and matching.py state it.
 *
 * Boxes are flat arrays, four numbers (x1, y1, x2, y2) each, the best scored first. Every sum and
 * product is taken in the same order as in Python, so both give the same doubles bit for bit.
 */

/** Intersection over union of box `i` of `a` and box `j` of `b`, in [0, 1]. */
export function iou(a, i, b, j) {
  const p = 4 * i
  const q = 4 * j
  const wide = Math.min(a[p + 2], b[q + 2]) - Math.max(a[p], b[q])
  if (!(wide > 0)) return 0
  const high = Math.min(a[p + 3], b[q + 3]) - Math.max(a[p + 1], b[q + 1])
  if (!(high > 0)) return 0
  const inter = wide * high
  const areaA = (a[p + 2] - a[p]) * (a[p + 3] - a[p + 1])
  const areaB = (b[q + 2] - b[q]) * (b[q + 3] - b[q + 1])
  const union = areaA + areaB - inter
  return union > 0 ? inter / union : 0
}

/** Positions of the detections scored at least `confidence`. */
export function above(detections, confidence) {
  const { scores } = detections
  let count = 0
  while (count < scores.length && scores[count] >= confidence) count++
  return Array.from({ length: count }, (_, i) => i)
}

/** Of `positions`, those left by greedy class-wise suppression; 1 keeps everything. */
export function nms(detections, positions, nmsIou) {
  if (nmsIou >= 1) return positions
  const { xyxy, labels } = detections
  const fallen = new Uint8Array(positions.length)
  for (let m = 0; m < positions.length; m++) {
    if (fallen[m]) continue
    const i = positions[m]
    for (let n = m + 1; n < positions.length; n++) {
      if (fallen[n] || labels[positions[n]] !== labels[i]) continue
      if (iou(xyxy, i, xyxy, positions[n]) > nmsIou) fallen[n] = 1
    }
  }
  return positions.filter((_, m) => !fallen[m])
}

/** Whether the centre of box `i` of `a` lies in box `j` of `b`, edges included. */
export function centreInside(a, i, b, j) {
  const x = (a[4 * i] + a[4 * i + 2]) / 2
  const y = (a[4 * i + 1] + a[4 * i + 3]) / 2
  return x >= b[4 * j] && x <= b[4 * j + 2] && y >= b[4 * j + 1] && y <= b[4 * j + 3]
}

/** The best ground truth for one detection in each sense; −1 = none. */
function bestGroundTruths(detections, i, groundTruth, free, { matchIou, rule, classAware }) {
  const best = { free: -1, freeIou: -1, any: -1, anyIou: -1, comparableIou: 0 }
  for (let j = 0; j < groundTruth.labels.length; j++) {
    if (classAware && detections.labels[i] !== groundTruth.labels[j]) continue
    const overlap = iou(detections.xyxy, i, groundTruth.xyxy, j)
    if (overlap > best.comparableIou) best.comparableIou = overlap
    const satisfied =
      rule === "iou" ? overlap >= matchIou : centreInside(detections.xyxy, i, groundTruth.xyxy, j)
    if (!satisfied || !(overlap > 0)) continue
    if (overlap > best.anyIou) [best.any, best.anyIou] = [j, overlap]
    if (free[j] && overlap > best.freeIou) [best.free, best.freeIou] = [j, overlap]
  }
  return best
}

/**
 * The detections at `positions` held against the ground truth: the best scored first, each with the free
 * ground truth it overlaps most. `options` is {matchIou, rule: "iou" | "centre", classAware}.
 */
export function match(detections, positions, groundTruth, options) {
  const free = Array.from(groundTruth.labels, () => true)
  const found = { groundTruthOf: [], iou: [], duplicateOf: [], missed: [] }
  for (const i of positions) {
    const best = bestGroundTruths(detections, i, groundTruth, free, options)
    if (best.free >= 0) free[best.free] = false
    found.groundTruthOf.push(best.free)
    found.iou.push(best.free >= 0 ? best.freeIou : best.comparableIou)
    found.duplicateOf.push(best.free < 0 ? best.any : -1)
  }
  free.forEach((left, j) => left && found.missed.push(j))
  return found
}

/** For each detection of a match: "true positive", "false positive" or "duplicate". */
export function kinds(found) {
  return found.groundTruthOf.map((groundTruth, n) =>
    groundTruth >= 0 ? "true positive" : found.duplicateOf[n] >= 0 ? "duplicate" : "false positive",
  )
}
