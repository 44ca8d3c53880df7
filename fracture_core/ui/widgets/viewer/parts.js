/** What stands in the panes of a viewer: which part of the case each shows, and its marks. */

import { comparedMarks, headOf, lackingMarks, missedByAll } from "./comparison.js"
import { findingMarks, groundTruthMarks } from "./marks.js"

/** The panes in the present mode: {title, warnings, model: index or null, groundTruth: shown or not, …}. */
export function partsOf({ active, content, explainer, frame, mode, state }) {
  const { panes, frames } = content
  const known = frames[frame].groundTruth !== null
  const shown = state.show_ground_truth && known
  const panels = explainer.layout(panes, shown)
  if (panels) return panels
  const alone = { title: known ? "Ground truth" : "Image", warnings: [], model: null, groundTruth: shown }
  const beside = known && mode === "sideBySide"
  const models = panes.map(({ title, warnings }, model) => {
    const head = headOf(panes, model, frame, active)
    return { ...head, title, warnings, model, groundTruth: shown && !beside }
  })
  return beside || !panes.length ? [alone, ...models] : models
}

/** What is drawn in one of them. */
export function marksOf(viewer, { model, groundTruth: groundTruthShown }) {
  const { active, comparison, content, dotted, explainer, lit, state } = viewer
  if (!state.show_overlay) return []
  const { groundTruth } = content.frames[viewer.frame]
  const findings = viewer.findings[model ?? active]
  const missed = model === null && comparison ? missedByAll(comparison) : (findings?.missed ?? [])
  const groundTruths = groundTruthShown ? groundTruthMarks(groundTruth, missed, lit) : []
  if (model === null) return groundTruths
  const pane = content.panes[model]
  if (!comparison) return [...groundTruths, ...findingMarks(pane, findings, lit, dotted, explainer.chosen)]
  const marks = comparedMarks(comparison, model, { pane, findings, lit, dotted: dotted && model === active })
  return [...groundTruths, ...marks, ...(state.show_lacking ? lackingMarks(comparison, model, lit) : [])]
}
