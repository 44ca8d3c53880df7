/** The panel of an explanation: asking for it, the map's controls, and how far it can be trusted. */

import { element, setText } from "./elements.js"
import { legend } from "./heatmap.js"

const BADGES = { "checks passed": "passed", "not faithful": "failed", "does not localise": "failed" }
const percent = (share) => `${share > 0 && share < 0.01 ? (100 * share).toFixed(1) : Math.round(100 * share)} %`

/** A number in as many digits as tell it apart from nothing. */
export function plainNumber(value) {
  if (value === 0) return "0"
  return Math.abs(value) >= 0.1 && Math.abs(value) < 1000 ? value.toFixed(2) : value.toPrecision(2)
}

function strengthWords({ strength, what }, weight) {
  if (strength === 0) return "0: the map is empty"
  const share = what === "gate" ? "" : `, ${percent(weight)} of the strongest here`
  return `${plainNumber(strength)}${share}`
}

/** [name, value, plain meaning] of everything that is told of an explanation. */
export function factsOf(explanation, weight) {
  const { checks } = explanation
  const facts = [
    ["Method", explanation.method, "How the map was made"],
    ["Target", explanation.target, "Which of the model's outputs the map is of"],
    ["Strength", strengthWords(explanation, weight), "The map's maximum before it was divided by it, in the unit of the method. The map is drawn as strongly as this is a share of the strongest known map of its kind, the frame's first finding included: weak evidence looks weak"],
  ]
  if (checks.energy_inside !== null) {
    facts.push(["Inside the box", `${percent(checks.energy_inside)}, an even map ${percent(checks.box_share)}`, "How much of the map lies in the finding's box. A map that marks the finding has far more there than an even one"])
  }
  facts.push(
    ["Deletion", `${checks.deletion.toFixed(2)}, at random ${checks.random_deletion.toFixed(2)}`, "Mean score while what the map marks is blurred away first. A true map lowers the score faster than random order: smaller is better"],
    ["Insertion", `${checks.insertion.toFixed(2)}, at random ${checks.random_insertion.toFixed(2)}`, "Mean score while what the map marks is put back first. A true map raises the score faster than random order: larger is better"],
    ["Random weights", `correlation ${checks.with_random_weights.toFixed(2)}`, "How much the map resembles that of the same network with random weights. A map that tells what was learned does not: near 0 is better"],
  )
  return facts
}

export class ExplanationPanel {
  /** `actions`: request(what), toggleMap(), togglePanels(), opacity(value), commit(). */
  constructor(actions) {
    const button = (name, words, title, onclick) =>
      element("button", { type: "button", class: "tool words", title, "data-explain": name, onclick }, words)
    this.finding = button("finding", "Explain", "Explain the chosen finding; click a row or a box to choose one", () => actions.request(this.target))
    this.image = button("image", "Explain the image", "Explain the score of the image as a whole", () => actions.request("image"))
    this.gate = button("panels", "Gate beside", "Image, map of the class and attention gate side by side", actions.togglePanels)
    this.map = button("map", "Map", "Heat map on and off (M)", actions.toggleMap)
    this.opacity = element("input", { type: "range", class: "small", min: 0, max: 1, step: 0.05, "aria-label": "Heat map opacity", title: "Heat map opacity", "data-control": "map_opacity",
      oninput: () => actions.opacity(Number(this.opacity.value)), onchange: actions.commit })
    this.badge = element("span", { class: "badge" })
    this.subject = element("span", { class: "subject" })
    this.status = element("p", { class: "explain-status", role: "status" })
    this.bar = element("progress", { max: 1, "aria-label": "Progress of the explanation" })
    this.facts = element("dl", { class: "facts" })
    this.failures = element("ul", { class: "failures" })
    this.scale = element("span", { class: "scale", title: "Colours from nothing (transparent) to the strongest of this map" }, "0", legend(), "max")
    const explanation = element("div", { class: "explained-body" }, this.status, this.bar, this.failures, this.facts)
    this.body = element("div", { class: "explained", hidden: true },
      element("div", { class: "explained-head" }, this.subject, this.badge),
      element("div", { class: "map-line" }, this.map, this.scale, this.opacity), explanation)
    this.root = element("section", { class: "explanation", "aria-label": "Explanation" },
      element("div", { class: "explain-line" }, this.finding, this.image, this.gate), this.body)
    this.opened = false
  }

  /** `view` of the explainer with `chosen` {what, words, title} or null, `opacity`, `predicted`, `classify` and `hasGate`. */
  show(view) {
    this.root.hidden = !view.offered
    if (!view.offered) return
    this.target = view.chosen?.what ?? null
    setText(this.finding, view.chosen ? `Explain ${view.chosen.words}` : "Explain finding")
    this.finding.hidden = view.classify
    this.finding.disabled = !view.chosen || !view.predicted
    this.image.disabled = !view.predicted
    this.gate.hidden = !view.hasGate
    this.gate.disabled = !view.predicted
    this.gate.setAttribute("aria-pressed", String(view.panels))
    // Once there is something to tell the panel keeps its room, so that nothing jumps.
    this.opened ||= view.explanation !== null || view.working
    this.body.hidden = !this.opened
    if (this.opened) this.showBody(view)
  }

  showBody({ what, chosen, explanation, working, weight, shown, opacity }) {
    const done = explanation?.state === "done"
    const subject = what === "image" ? "The image" : chosen ? chosen.title : "Nothing chosen"
    setText(this.subject, subject)
    this.map.setAttribute("aria-pressed", String(shown))
    this.map.disabled = !done
    this.opacity.value = opacity
    this.showBadge(done ? explanation.checks.verdict : "")
    setText(this.status, statusOf(explanation, working, what))
    this.status.hidden = done
    this.bar.hidden = !working
    if (explanation?.state === "running") this.bar.value = explanation.share
    else this.bar.removeAttribute("value")
    this.fill(done ? explanation : null, weight)
  }

  showBadge(verdict) {
    setText(this.badge, verdict)
    this.badge.hidden = verdict === ""
    this.badge.dataset.verdict = BADGES[verdict] ?? "failed"
  }

  fill(explanation, weight) {
    const text = JSON.stringify([explanation?.path, weight])
    if (text === this.filled) return
    this.filled = text
    const facts = explanation ? factsOf(explanation, weight) : []
    const line = ([name, value, meaning]) => [element("dt", { title: meaning }, name), element("dd", { title: `${value}\n${meaning}` }, value)]
    this.facts.replaceChildren(...facts.flatMap(line))
    this.failures.replaceChildren(...(explanation?.checks.failures ?? []).map((words) => element("li", {}, words)))
  }
}

function statusOf(explanation, working, what) {
  if (explanation?.state === "failed") return explanation.error
  if (explanation?.state === "running") return `Explaining and checking… ${percent(explanation.share)}`
  if (working) return "Waiting for its turn…"
  return what === null ? "Choose a finding by its row or box." : "Not explained yet."
}
