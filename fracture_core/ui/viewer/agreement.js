/**
 * Where several models agree: what they show, gathered into places by the rule of
 * fracture_core/agreement.py, bit for bit.
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

/** The place that a finding joins, −1 = none. */
function placeFor(places, models, model, position, { matchIou, rule, classAware }) {
  const { xyxy, labels } = models[model].raw
  let best = -1
  let bestIou = 0
  for (let p = 0; p < places.length; p++) {
    const { members, head, at } = places[p]
    if (members[model] >= 0) continue
    if (classAware && head.labels[at] !== labels[position]) continue
    const overlap = iou(xyxy, position, head.xyxy, at)
    if (!(overlap > bestIou)) continue
    const satisfied = rule === "iou" ? overlap >= matchIou : centreInside(xyxy, position, head.xyxy, at)
    if (satisfied) [best, bestIou] = [p, overlap]
  }
  return best
}

function truthAt(place, models) {
  let truth = -1
  let bestScore = -1
  place.members.forEach((index, model) => {
    if (index < 0 || models[model].truthOf[index] < 0) return
    const score = models[model].raw.scores[models[model].shown[index]]
    if (score > bestScore) [truth, bestScore] = [models[model].truthOf[index], score]
  })
  return truth
}

/**
 * Gather `models`, each {raw: candidates, shown: positions, truthOf: the truth each shown one is
 * matched with or −1}, into {places, foundBy}.
 *
 * places: {members: one a model, which of its shown findings is here or −1; first: the model that
 * began it; truth} in falling order of their best score · foundBy: for each of `truths` truths the
 * models that have a finding matched with it. `options` is {matchIou, rule, classAware}.
 */
export function agree(models, truths, options) {
  const places = []
  for (const [model, index] of inFallingOrder(models)) {
    const { raw, shown } = models[model]
    let p = placeFor(places, models, model, shown[index], options)
    if (p < 0) {
      p = places.length
      places.push({ members: models.map(() => -1), first: model, head: raw, at: shown[index] })
    }
    places[p].members[model] = index
  }
  for (const place of places) place.truth = truthAt(place, models)
  const foundBy = Array.from({ length: truths }, () => [])
  models.forEach(({ truthOf }, model) => truthOf.forEach((truth) => truth >= 0 && foundBy[truth].push(model)))
  return { places, foundBy }
}
