/** A model's operating points on a slider: buttons with their names, which set it to theirs. */

import { element } from "./elements.js"
import { fixed } from "./measured_words.js"

export class Ticks {
  constructor(onPick) {
    this.onPick = onPick
    this.held = ""
    this.root = element("div", { class: "ticks" })
  }

  /** `points`: {rule, value, share: where on the slider, 0 to 1}, `name`: what the value is. */
  show(points, name) {
    const text = JSON.stringify([points, name])
    if (text === this.held) return
    this.held = text
    this.root.replaceChildren(...merged(points).map((point) => this.tick(point, name)))
  }

  tick({ rules, value, share }, name) {
    const words = `${rules.join(", ")} · ${name} ${fixed(value)}`
    const label = element("span", { class: "tick-name", "data-side": share > 0.5 ? "left" : "right" }, words)
    const tick = element("button", { type: "button", class: "tick", "aria-label": `Operating point ${words}`, onclick: () => this.onPick(value) }, label)
    tick.style.left = `${100 * share}%`
    return tick
  }
}

/** Points at one value share a tick. */
function merged(points) {
  const ticks = new Map()
  for (const { rule, value, share } of points) {
    if (ticks.has(value)) ticks.get(value).rules.push(rule)
    else ticks.set(value, { rules: [rule], value, share })
  }
  return [...ticks.values()].sort((a, b) => a.value - b.value)
}
