/** Keys, active while the pointer is over the viewer or the focus is in it. */

import { element } from "./elements.js"

/** [keys, what they do, the name of the command]; arrows and digits are shown as one line each. */
export const KEYS = [
  [["+"], "zoom in", "zoomIn"],
  [["-"], "zoom out", "zoomOut"],
  [["="], "fit the image", "fit"],
  [[" "], "reset zoom, window, invert and flips", "reset"],
  [["i"], "invert", "invert"],
  [["h"], "flip left and right", "flipH"],
  [["v"], "flip up and down", "flipV"],
  [["o"], "overlay on and off", "overlay"],
  [["g"], "ground truth shown and hidden", "groundTruth"],
  [["m"], "heat map on and off", "map"],
  [["k"], "masks on and off", "masks"],
  [["s"], "ground truth and prediction side by side", "sideBySide"],
  [["l"], "what a model lacks marked or not, where models are compared", "lacking"],
  [["n"], "next case", "nextCase"],
  [["p"], "previous case", "previousCase"],
  [["ArrowUp", "ArrowLeft"], "previous slice, or previous case of single images", "previousFrame"],
  [["ArrowDown", "ArrowRight"], "next slice, or next case of single images", "nextFrame"],
  [["?"], "this list", "help"],
]
const MOUSE = [
  [["wheel"], "zoom at the pointer; in a stack: scroll, and Ctrl or Shift + wheel zooms"],
  [["drag"], "move the image"],
  [["right drag", "Shift + drag"], "window: sideways its width, up and down its level"],
  [["double click"], "fit the image"],
  [["two fingers"], "zoom and move"],
]
const SIGNS = { " ": "Space", ArrowUp: "↑", ArrowLeft: "←", ArrowDown: "↓", ArrowRight: "→" }

function writing(target) {
  if (target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName)) return true
  return target.tagName === "INPUT" && !["range", "checkbox"].includes(target.type)
}

/** The command for a key event, as [name, argument], or null. */
export function commandOf(event) {
  const target = event.composedPath()[0]
  if (event.ctrlKey || event.metaKey || event.altKey || writing(target)) return null
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
  const takesArrows = target.tagName === "INPUT" && target.type === "range"
  if (takesArrows && key.startsWith("Arrow")) return null
  if (key === " " && ["INPUT", "BUTTON", "SUMMARY"].includes(target.tagName)) return null
  if (/^[1-9]$/.test(key)) return ["preset", Number(key) - 1]
  const found = KEYS.find(([keys]) => keys.includes(key))
  return found ? [found[2], null] : null
}

/** The list of keys as a dialog. */
export function helpDialog() {
  const line = (signs, words) =>
    element("div", { class: "key" }, element("span", {}, ...signs.map((sign) => element("kbd", {}, sign))), element("span", {}, words))
  const sign = (key) => SIGNS[key] ?? key.toUpperCase()
  const close = element("button", { type: "button", class: "tool", onclick: () => dialog.close() }, "Close")
  const dialog = element("dialog", { class: "help", "aria-label": "Keys and mouse" },
    element("h2", {}, "Keys"),
    ...KEYS.map(([keys, words]) => line(keys.map(sign), words)),
    line(["1", "…", "9"], "windows of the list"),
    element("h2", {}, "Mouse and touch"),
    ...MOUSE.map(([signs, words]) => line(signs, words)),
    close)
  dialog.onclick = (event) => event.target === dialog && dialog.close()
  return dialog
}
