/** Detections as they travel from Python: arrays of little-endian numbers in base64. */

function decodeBase64(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
  return bytes.buffer
}

/** Packed detections → {count, xyxy, scores, labels, masks}; null stays null. */
export function unpackDetections(packed) {
  if (packed === null) return null
  return {
    count: packed.count,
    xyxy: new Float32Array(decodeBase64(packed.xyxy)),
    scores: new Float32Array(decodeBase64(packed.scores)),
    labels: new Int32Array(decodeBase64(packed.labels)),
    masks: packed.masks,
  }
}

/** With `groups`, what each label counts as in the classes that panes and ground truth have in common. */
function grouped(packed, groups) {
  const found = unpackDetections(packed)
  return found && { ...found, groups: found.labels.map((label) => groups[label]) }
}

/** The same with their groups as labels, for whatever holds classes of two lists together. */
export const inGroups = (detections) => ({ ...detections, labels: detections.groups })

/** The case as Python packed it, every array decoded. */
export function unpackCase(packed) {
  return {
    ...packed,
    frames: packed.frames.map((frame) => ({ ...frame, groundTruth: grouped(frame.ground_truth, packed.groups) })),
    panes: packed.panes.map((pane) => ({
      ...pane,
      predictions: pane.predictions.map((one) => grouped(one, pane.groups)),
    })),
  }
}
