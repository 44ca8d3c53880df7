/** Which explanations there are, which one is looked at, and where it is drawn. */

import { plainNumber } from "./explanation.js"
import { weightOf } from "./heatmap.js"
import { imageOf } from "./shelf.js"

const AGAIN_MILLISECONDS = 200

export class Explainer {
  /** `ask({pane, frame, what})` reaches Python; `touch(...parts)` has parts drawn again. */
  constructor({ ask, touch }) {
    Object.assign(this, { ask, touch })
    this.offered = false
    this.explanations = new Map()
    this.asking = null
    this.shown = false
    this.panels = false
    this.look(0, 0)
  }

  /** From now on this pane's prediction on this frame is looked at; nothing is chosen there yet. */
  look(pane, frame) {
    if (pane === this.pane && frame === this.frame) return
    Object.assign(this, { pane, frame, what: null })
  }

  /** Nothing of the case or model before is kept in view. */
  forget() {
    this.what = null
    this.panels = false
  }

  /** A finding by position, "image", or null. */
  choose(what) {
    this.what = what
    this.touch("map", "overlay", "column")
  }

  /** The heat map on and off. */
  toggle() {
    this.shown = !this.shown
    this.touch("map", "overlay", "column")
  }

  // ---- explanations -----------------------------------------------------------------------------

  /** Take over what Python knows of, and follow what is not done yet. */
  receive({ explains, explanations }) {
    this.offered = explains
    const held = new Map([...this.explanations.values()].map((explanation) => [explanation.path, explanation]))
    this.explanations = new Map(explanations.map((link) => [nameOf(link), held.get(link.path) ?? { ...link, state: "waiting", share: 0 }]))
    for (const explanation of this.explanations.values()) if (!explanation.followed) this.follow(explanation)
    this.asking = null
    this.wantGate()
    this.told()
  }

  /** Titles and notes of the three panels tell of the explanations as well. */
  told() {
    this.touch("map", "explanation", ...(this.panels ? ["layout"] : []))
  }

  async follow(explanation) {
    explanation.followed = true
    while ([...this.explanations.values()].includes(explanation)) {
      Object.assign(explanation, await read(explanation.path))
      if (explanation.state === "done") await this.fetchMap(explanation)
      this.told()
      if (explanation.state === "done" || explanation.state === "failed") return
      await new Promise((wake) => setTimeout(wake, AGAIN_MILLISECONDS))
    }
    explanation.followed = false
  }

  async fetchMap(explanation) {
    try {
      const { height, width, values } = explanation
      explanation.image = await imageOf({ height, width, pixels: values }).promise
    } catch (error) {
      Object.assign(explanation, { state: "failed", error: error.message })
    }
  }

  find(what, pane = this.pane) {
    return what === null ? null : (this.explanations.get(nameOf({ pane, frame: this.frame, what })) ?? null)
  }

  /** Look at this target and have it explained where that is not done; its map is switched on. */
  request(what) {
    this.shown = true
    this.choose(what)
    this.askFor(what)
  }

  askFor(what) {
    const held = this.find(what)
    if (held && held.state !== "failed") return
    this.asking = what
    // Where Python still has the explanation it is read once more.
    if (held) Object.assign(held, { state: "waiting", followed: false })
    this.ask({ pane: this.pane, frame: this.frame, what })
  }

  // ---- three panels ------------------------------------------------------------------------

  togglePanels() {
    this.panels = !this.panels
    if (!this.panels) return this.touch("layout")
    this.request("image")
    if (this.asking === null) this.askFor("gate")
    return this.touch("layout")
  }

  /** Ask for the gate once the image's explanation is known of: two asks in one breath would be one. */
  wantGate() {
    if (this.panels && this.find("image") && !this.find("gate")) this.askFor("gate")
  }

  /** Image, class map and gate map side by side; null where they are not asked for. */
  layout(panes, groundTruth) {
    if (!this.panels || !panes[this.pane]?.has_gate) return null
    const part = (title, what) => {
      const explanation = this.find(what)
      const done = explanation?.state === "done"
      const facts = done ? [`strength ${plainNumber(explanation.strength)}`, explanation.checks.verdict] : []
      const note = done || what === null ? "" : (explanation?.error ?? "Explaining…")
      return { title, warnings: [], facts, note, model: this.pane, groundTruth, what }
    }
    return [part("Image", null), part("Class map", "image"), part("Attention gate", "gate")]
  }

  // ---- what is drawn -----------------------------------------------------------------------

  /** The map of a pane as {image, weight, words}, or null. */
  mapOf({ model, what = this.what }) {
    if (!this.shown || model !== this.pane) return null
    const explanation = this.find(what)
    if (!explanation?.image) return null
    const words = `Heat map: ${explanation.method}, ${explanation.target}; strength ${plainNumber(explanation.strength)}; ${explanation.checks.verdict}`
    return { image: explanation.image, weight: this.weigh(explanation), words }
  }

  weigh(explanation) {
    const kind = ({ what }) => (typeof what === "number" ? "finding" : what)
    const like = ({ state, pane, method, what }) =>
      state === "done" && pane === explanation.pane && method === explanation.method && kind({ what }) === kind(explanation)
    return weightOf(explanation, [...this.explanations.values()].filter(like), explanation.what === "gate")
  }

  /** The finding that is looked at as {position, kept: while its map is drawn}, or null. */
  get chosen() {
    if (typeof this.what !== "number") return null
    return { position: this.what, kept: this.mapOf({ model: this.pane }) !== null }
  }

  /** Everything that the panel says. */
  view() {
    const explanation = this.find(this.what)
    const asking = this.asking !== null && this.asking === this.what
    return {
      offered: this.offered,
      what: this.what,
      explanation,
      working: asking || ["waiting", "running"].includes(explanation?.state),
      weight: explanation?.state === "done" ? this.weigh(explanation) : 0,
      shown: this.shown,
      panels: this.panels,
    }
  }
}

const nameOf = ({ pane, frame, what }) => `${pane}/${frame}/${what}`

async function read(path) {
  try {
    const response = await fetch(new URL(path, location.origin))
    if (response.ok) return await response.json()
    return { state: "failed", error: "The explanation is no longer kept by the server. Ask again." }
  } catch {
    return { state: "failed", error: "The server does not answer." }
  }
}
