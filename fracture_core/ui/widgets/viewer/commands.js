/** What keys and tools ask of a viewer, by name. */

export function commandsOf(viewer) {
  const { state } = viewer
  const toggle = (name) => () => viewer.set({ [name]: !state[name] })
  return {
    together: () => viewer.set({ mode: "together", show_ground_truth: true }),
    hidden: () => viewer.set({ show_ground_truth: false }),
    sideBySide: () => viewer.set({ mode: viewer.mode === "sideBySide" ? "together" : "side_by_side", show_ground_truth: true }),
    groundTruth: toggle("show_ground_truth"),
    overlay: toggle("show_overlay"),
    masks: toggle("show_masks"),
    lacking: toggle("show_lacking"),
    map: () => viewer.explainer.toggle(),
    opacity: (value) => viewer.change({ mask_opacity: value }),
    commit: () => viewer.commit(),
    nextCase: () => viewer.step(1),
    previousCase: () => viewer.step(-1),
    nextFrame: () => viewer.stepFrame(1),
    previousFrame: () => viewer.stepFrame(-1),
    full: () => viewer.toggleFull(),
    help: () => viewer.help.showModal(),
  }
}
