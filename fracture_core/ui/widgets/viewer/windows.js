/** Window and level: which pixel values are spread over black to white (DICOM PS3.3 C.11.2.1.2). */

function share(window, value) {
  const { center, width } = window
  if (window.function === "SIGMOID") return 1 / (1 + Math.exp((-4 * (value - center)) / width))
  if (window.function === "LINEAR") {
    if (width === 1) return value > center - 0.5 ? 1 : 0
    return (value - (center - 0.5)) / (width - 1) + 0.5
  }
  return (value - center) / width + 0.5
}

/** 0 black to 255 white for one pixel value; the same numbers as Window.apply in Python. */
export function shade(window, value) {
  return Math.floor(Math.min(Math.max(share(window, value), 0), 1) * 255 + 0.5)
}

/** One opaque grey ABGR word for every pixel value of `bits` bits. */
export function buildLut(window, bits, inverted) {
  const lut = new Uint32Array(2 ** bits)
  for (let value = 0; value < lut.length; value++) {
    const grey = inverted ? 255 - shade(window, value) : shade(window, value)
    lut[value] = 0xff000000 | (grey << 16) | (grey << 8) | grey
  }
  return lut
}

/** The window that shows every value: 0 black, the maximum white. */
export function fullRange(bits) {
  const top = 2 ** bits - 1
  return { name: "Full range", center: top / 2, width: top, function: "LINEAR_EXACT" }
}

/** The window from the 1st to the 99th percentile of a sample of the pixels. */
export function autoWindow(pixels, bits) {
  const histogram = new Uint32Array(2 ** bits)
  const step = Math.max(1, Math.floor(pixels.length / 500000))
  let total = 0
  for (let i = 0; i < pixels.length; i += step, total++) histogram[pixels[i]]++
  const percentile = (part) => {
    let left = part * total
    let value = 0
    while (value < histogram.length - 1 && (left -= histogram[value]) > 0) value++
    return value
  }
  const low = percentile(0.01)
  const high = Math.max(percentile(0.99), low + 1)
  return { name: "Auto", center: (low + high) / 2, width: high - low, function: "LINEAR_EXACT" }
}

const CT_WINDOWS = [
  { name: "CT bone", center: 400, width: 1800 },
  { name: "CT soft tissue", center: 40, width: 400 },
]

/** A window in the unit of the modality → in pixel values; `scale` is {slope, offset, unit}. */
export function toPixelWindow(window, scale) {
  const center = (window.center - scale.offset) / scale.slope
  const width = window.width / Math.abs(scale.slope)
  return { function: "LINEAR_EXACT", ...window, center, width }
}

/** The windows on offer for an image, at most nine, the first is the default. */
export function presets(frame, image) {
  const own = frame.windows.map((w, i) => ({ ...w, name: w.name || `Image ${i + 1}` }))
  const ct = frame.scale.unit === "HU" ? CT_WINDOWS.map((w) => toPixelWindow(w, frame.scale)) : []
  const general = [fullRange(image.bits), autoWindow(image.pixels, image.bits)]
  return [...own.slice(0, 9 - ct.length - general.length), ...general, ...ct]
}
