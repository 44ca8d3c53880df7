/** Images and cases that were fetched, the latest kept, so that going back costs nothing. */

import { unpackCase } from "./detections.js"
import { loadImage } from "./grey_image.js"

const MOST_PIXEL_BYTES = 400e6
const images = new Map()
const cases = new Map()

function keep(shelf, url, load) {
  const held = shelf.get(url) ?? { promise: load() }
  shelf.delete(url)
  shelf.set(url, held)
  // A failure is not kept: the next look asks again.
  held.promise.then((value) => (held.value = value), () => shelf.delete(url))
  return held
}

function dropOldImages() {
  let total = 0
  for (const [url, held] of [...images].reverse()) {
    total += held.value?.pixels.byteLength ?? 0
    if (total > MOST_PIXEL_BYTES) images.delete(url)
  }
}

/** {promise, value?}: `value` is the GreyImage once it is there. */
export function imageOf(frame) {
  const held = keep(images, frame.pixels, () => loadImage(new URL(frame.pixels, location.origin), frame))
  dropOldImages()
  return held
}

export function caseOf(path) {
  const load = async () => {
    const response = await fetch(new URL(path, location.origin))
    if (!response.ok) throw new Error("The case is no longer kept by the server. Reload the page.")
    return unpackCase(await response.json())
  }
  const held = keep(cases, path, load)
  while (cases.size > 4) cases.delete(cases.keys().next().value)
  return held.promise
}
