/**
 * Where several models agree: what they show, gathered into places by the rule of
 * tests/support/agreement.py, bit for bit.
 */

import { centreInside, iou } from "./filter.js"

/** Findings of all models, the best scored first; of equal scores the earlier model's, then rank. */
function inFallingOrder(models) {
  const next = models.map(() => 0)
  const order = []
  for (;;) {
    let best = -1
    let bestScore = -1
    models.forEach(({ raw, shown }, model) => {
      if (next[model] >= shown.length) return
      const score = raw.scores[shown[next[model]]]
      if (score > bestScore) [best, bestScore] = [model, score]
    })
    if (best < 0) return order
    order.push([best, next[best]++])
  }
}

/**
 * The first findings of all places, in flat arrays: with thousands of comparisons a frame, most of
 * boxes that do not touch, this is what keeps a drag smooth.
 */
class Heads {
  constructor(most) {
    this.count = 0
    this.xyxy = new Float32Array(4 * most)
    this.labels = new Int32Array(most)
    // For each place one bit a model that has a finding in it.
    this.taken = new Uint8Array(most)
  }

  add({ xyxy, labels }, position) {
    for (let k = 0; k < 4; k++) this.xyxy[4 * this.count + k] = xyxy[4 * position + k]
    this.labels[this.count] = labels[position]
    return this.count++
  }

  /** The place that a finding joins, −1 = none. */
  find({ xyxy, labels }, position, model, { matchIou, rule, classAware }) {
    const heads = this.xyxy
    const [x1, y1, x2, y2] = xyxy.subarray(4 * position, 4 * position + 4)
    const label = labels[position]
    let best = -1
    let bestIou = 0
    for (let p = 0, q = 0; p < this.count; p++, q += 4) {
      if (heads[q] >= x2 || heads[q + 2] <= x1 || heads[q + 1] >= y2 || heads[q + 3] <= y1) continue
      if (this.taken[p] & (1 << model) || (classAware && this.labels[p] !== label)) continue
      const overlap = iou(xyxy, position, heads, p)
      if (!(overlap > bestIou)) continue
      const satisfied = rule === "iou" ? overlap >= matchIou : centreInside(xyxy, position, heads, p)
      if (satisfied) [best, bestIou] = [p, overlap]
    }
    return best
  }
}

function groundTruthAt(place, models) {
  let groundTruth = -1
  let bestScore = -1
  place.members.forEach((index, model) => {
    if (index < 0 || models[model].groundTruthOf[index] < 0) return
    const score = models[model].raw.scores[models[model].shown[index]]
    if (score > bestScore) [groundTruth, bestScore] = [models[model].groundTruthOf[index], score]
  })
  return groundTruth
}

/**
 * Gather `models`, each {raw: candidates, shown: positions, groundTruthOf: the ground truth each shown one is
 * matched with or −1}, into {places, foundBy}.
 *
 * places: {members: one a model, which of its shown findings is here or −1; first: the model that
 * began it; groundTruth} in falling order of their best score · foundBy: for each of `groundTruths` ground truths the
 * models that have a finding matched with it. `options` is {matchIou, rule, classAware}.
 */
export function agree(models, groundTruths, options) {
  const places = []
  const order = inFallingOrder(models)
  const heads = new Heads(order.length)
  for (const [model, index] of order) {
    const { raw, shown } = models[model]
    let p = heads.find(raw, shown[index], model, options)
    if (p < 0) {
      p = heads.add(raw, shown[index])
      places.push({ members: models.map(() => -1), first: model, head: raw, at: shown[index] })
    }
    heads.taken[p] |= 1 << model
    places[p].members[model] = index
  }
  for (const place of places) place.groundTruth = groundTruthAt(place, models)
  const foundBy = Array.from({ length: groundTruths }, () => [])
  models.forEach(({ groundTruthOf }, model) => groundTruthOf.forEach((groundTruth) => groundTruth >= 0 && foundBy[groundTruth].push(model)))
  return { places, foundBy }
}
