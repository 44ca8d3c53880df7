/** Elements of the page. Text is set as text only, so names from files can never become markup. */

/** `element("button", {class: "x", onclick}, "text", child)`; null and false attributes are left out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false || value === undefined) continue
    if (name.startsWith("on")) made[name] = value
    else made.setAttribute(name, value === true ? "" : value)
  }
  made.append(...children.filter((child) => child !== null && child !== undefined))
  return made
}

/** Set text only where it differs, which keeps selections and screen readers calm. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text
}

const ICONS = {
  previous: "M10 3 5 8l5 5",
  next: "M6 3l5 5-5 5",
  invert: "M8 2a6 6 0 1 0 0 12zM8 2a6 6 0 1 1 0 12",
  flipH: "M8 2v12M6 4 2 12h4zM10 4l4 8h-4z",
  flipV: "M2 8h12M4 6l8-4v4zM4 10l8 4v-4z",
  turn: "M13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3",
  zoomIn: "M7 2a5 5 0 1 0 0 10A5 5 0 0 0 7 2zM11 11l3 3M7 5v4M5 7h4",
  zoomOut: "M7 2a5 5 0 1 0 0 10A5 5 0 0 0 7 2zM11 11l3 3M5 7h4",
  fit: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  window: "M2 13 6 13 10 3h4",
  smooth: "M2 12c3 0 3-8 6-8s3 8 6 8",
  full: "M6 2H2v4M2 2l4 4M10 14h4v-4M14 14l-4-4",
  save: "M8 2v8M5 7l3 3 3-3M2 13h12",
  help: "M6 6a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6 1.1M8 12v.1",
}

/** A drawn sign of 16 × 16 in the colour of the text. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg"
  const svg = document.createElementNS(space, "svg")
  const path = document.createElementNS(space, "path")
  svg.setAttribute("viewBox", "0 0 16 16")
  svg.setAttribute("aria-hidden", "true")
  path.setAttribute("d", ICONS[name])
  if (name === "invert") path.setAttribute("fill-rule", "evenodd")
  svg.append(path)
  return svg
}
