/** The table of an evaluation: counts at every knot, fetched once and read from while one moves. */

const WORDS = { lesion: "Lesions", image: "Images", study: "Studies" }

function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer
}

function tallyOf(packed) {
  return { ...packed, title: WORDS[packed.unit], hits: new Int32Array(bytesOf(packed.hits)), wrong: new Int32Array(bytesOf(packed.wrong)) }
}

function sheetOf(packed) {
  const cells = new Int32Array(bytesOf(packed.cells))
  return { ...packed, cells, counts: new Int32Array(bytesOf(packed.counts)) }
}

/** The count of the n-th cell that a sheet holds, at one knot. */
export function cellCount(sheet, n, place) {
  return sheet.counts[(sheet.fixed ? 0 : place) * sheet.cells.length + n]
}

export async function tableOf(path) {
  const response = await fetch(new URL(path, location.origin))
  if (!response.ok) throw new Error("The table is no longer kept by the server. Reload the page.")
  const packed = await response.json()
  return {
    ...packed,
    confidences: new Float64Array(bytesOf(packed.confidences)),
    tallies: packed.tallies.map(tallyOf),
    byClass: packed.by_class.map(tallyOf),
    sheets: packed.sheets.map(sheetOf),
  }
}

/** The knot nearest to a confidence; confidences fall. */
export function placeOf({ confidences }, confidence) {
  let low = 0
  let high = confidences.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (confidences[middle] > confidence) low = middle + 1
    else high = middle
  }
  const above = low > 0 && confidences[low - 1] - confidence <= Math.abs(confidences[low] - confidence)
  return above ? low - 1 : low
}
