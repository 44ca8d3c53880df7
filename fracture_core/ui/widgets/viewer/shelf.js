/** Pictures and cases that were fetched, the latest kept, so that going back costs nothing. */

import { unpackCase } from "./detections.js"
import { loadPicture } from "./picture.js"

const MOST_PIXEL_BYTES = 400e6
const pictures = new Map()
const cases = new Map()

function keep(shelf, url, load) {
  const held = shelf.get(url) ?? { promise: load() }
  shelf.delete(url)
  shelf.set(url, held)
  // A failure is not kept: the next look asks again.
  held.promise.then((value) => (held.value = value), () => shelf.delete(url))
  return held
}

function dropOldPictures() {
  let total = 0
  for (const [url, held] of [...pictures].reverse()) {
    total += held.value?.pixels.byteLength ?? 0
    if (total > MOST_PIXEL_BYTES) pictures.delete(url)
  }
}

/** {promise, value?}: `value` is the Picture once it is there. */
export function pictureOf(frame) {
  const held = keep(pictures, frame.pixels, () => loadPicture(new URL(frame.pixels, location.origin), frame))
  dropOldPictures()
  return held
}

export function caseOf(path) {
  const load = async () => {
    const answer = await fetch(new URL(path, location.origin))
    if (!answer.ok) throw new Error("The case is no longer kept by the server. Reload the page.")
    return unpackCase(await answer.json())
  }
  const held = keep(cases, path, load)
  while (cases.size > 4) cases.delete(cases.keys().next().value)
  return held.promise
}
