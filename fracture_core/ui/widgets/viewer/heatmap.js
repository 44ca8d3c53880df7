/**
 * Heat maps as colours. The more, the lighter: from violet over green to yellow at a lightness that
 * rises evenly in OKLab (Ottosson 2020), so that colour-blind readers and grey prints keep the
 * order. Nothing is transparent; from half of the maximum on the colour is full.
 */

import { element } from "./elements.js"

const LIGHTNESS = [0.36, 0.93]
const HUE_DEGREES = [305, 105]
const CHROMA = 0.17
const FULL_FROM = 0.5

/** OKLCH → linear red, green, blue, outside [0, 1] where a screen cannot show the colour. */
function linearOf(lightness, chroma, hue) {
  const a = chroma * Math.cos(hue)
  const b = chroma * Math.sin(hue)
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ]
}

const encode = (part) => Math.round(255 * (part <= 0.0031308 ? 12.92 * part : 1.055 * part ** (1 / 2.4) - 0.055))

/** The colour [red, green, blue] from 0 to 255 of a share in [0, 1]. */
export function colourOf(share) {
  const between = ([from, to]) => from + share * (to - from)
  const hue = (between(HUE_DEGREES) * Math.PI) / 180
  let chroma = CHROMA
  let rgb = linearOf(between(LIGHTNESS), chroma, hue)
  // As strong a colour as the screen can show.
  while (rgb.some((part) => part < 0 || part > 1)) rgb = linearOf(between(LIGHTNESS), (chroma -= 0.002), hue)
  return rgb.map(encode)
}

/** One ABGR word for each of the values 0 to 255. */
function buildTable() {
  return Uint32Array.from({ length: 256 }, (_, value) => {
    const [red, green, blue] = colourOf(value / 255)
    const alpha = Math.round(255 * Math.min(value / 255 / FULL_FROM, 1))
    return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0
  })
}

export const TABLE = { serial: 1, words: buildTable() }

/** The colours from nothing to the most, over middle grey. */
export function legend() {
  const canvas = element("canvas", { class: "legend", width: 256, height: 1, role: "img", "aria-label": "Colours from nothing to the strongest" })
  const context = canvas.getContext("2d")
  context.putImageData(new ImageData(new Uint8ClampedArray(TABLE.words.slice().buffer), 256, 1), 0, 0)
  return canvas
}

/**
 * How strongly a map is drawn, in [0, 1]: its strength as a share of the strongest that is known
 * among `others`, which are of the same model, method and kind, so that weak evidence looks weak. A gate's
 * strength is a share by itself.
 */
export function weightOf(explanation, others, isGate) {
  if (isGate) return Math.min(explanation.strength, 1)
  const strongest = Math.max(explanation.reference, ...others.map(({ reference }) => reference))
  return strongest > 0 ? explanation.strength / strongest : 0
}
