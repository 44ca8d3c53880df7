/** Which explanations there are, which one is looked at, and where it is drawn. */

import { plainNumber } from "./explanation.js"
import { weightOf } from "./heatmap.js"
import { pictureOf } from "./shelf.js"

const AGAIN_MILLISECONDS = 200

export class Explainer {
  /** `ask({pane, frame, what})` reaches Python; `touch(...parts)` has parts drawn again. */
  constructor({ ask, touch }) {
    Object.assign(this, { ask, touch })
    this.offered = false
    this.answers = new Map()
    this.asking = null
    this.shown = false
    this.panels = false
    this.look(0, 0)
  }

  /** From now on this pane's answer on this frame is looked at; nothing is chosen there yet. */
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

  // ---- answers -----------------------------------------------------------------------------

  /** Take over what Python knows of, and follow what is not done yet. */
  receive({ explains, explanations }) {
    this.offered = explains
    const held = new Map([...this.answers.values()].map((answer) => [answer.path, answer]))
    this.answers = new Map(explanations.map((link) => [nameOf(link), held.get(link.path) ?? { ...link, state: "waiting", share: 0 }]))
    for (const answer of this.answers.values()) if (!answer.followed) this.follow(answer)
    this.asking = null
    this.wantGate()
    this.told()
  }

  /** Titles and notes of the three panels tell of the answers as well. */
  told() {
    this.touch("map", "explanation", ...(this.panels ? ["layout"] : []))
  }

  async follow(answer) {
    answer.followed = true
    while ([...this.answers.values()].includes(answer)) {
      Object.assign(answer, await read(answer.path))
      if (answer.state === "done") await this.fetchMap(answer)
      this.told()
      if (answer.state === "done" || answer.state === "failed") return
      await new Promise((wake) => setTimeout(wake, AGAIN_MILLISECONDS))
    }
    answer.followed = false
  }

  async fetchMap(answer) {
    try {
      const { height, width, values } = answer
      answer.picture = await pictureOf({ height, width, pixels: values }).promise
    } catch (error) {
      Object.assign(answer, { state: "failed", error: error.message })
    }
  }

  find(what, pane = this.pane) {
    return what === null ? null : (this.answers.get(nameOf({ pane, frame: this.frame, what })) ?? null)
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
    // Where Python still has the answer it is read once more.
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

  /** Ask for the gate once the image's answer is known of: two asks in one breath would be one. */
  wantGate() {
    if (this.panels && this.find("image") && !this.find("gate")) this.askFor("gate")
  }

  /** Picture, class map and gate map side by side; null where they are not asked for. */
  layout(panes, truth) {
    if (!this.panels || !panes[this.pane]?.has_gate) return null
    const part = (title, what) => {
      const answer = this.find(what)
      const done = answer?.state === "done"
      const facts = done ? [`strength ${plainNumber(answer.strength)}`, answer.checks.verdict] : []
      const note = done || what === null ? "" : (answer?.error ?? "Explaining…")
      return { title, warnings: [], facts, note, model: this.pane, truth, what }
    }
    return [part("Image", null), part("Class map", "image"), part("Attention gate", "gate")]
  }

  // ---- what is drawn -----------------------------------------------------------------------

  /** The map of a pane as {picture, weight, words}, or null. */
  mapOf({ model, what = this.what }) {
    if (!this.shown || model !== this.pane) return null
    const answer = this.find(what)
    if (!answer?.picture) return null
    const words = `Heat map: ${answer.method}, ${answer.target}; strength ${plainNumber(answer.strength)}; ${answer.checks.verdict}`
    return { picture: answer.picture, weight: this.weigh(answer), words }
  }

  weigh(answer) {
    const kind = ({ what }) => (typeof what === "number" ? "finding" : what)
    const like = ({ state, pane, method, what }) =>
      state === "done" && pane === answer.pane && method === answer.method && kind({ what }) === kind(answer)
    return weightOf(answer, [...this.answers.values()].filter(like), answer.what === "gate")
  }

  /** The finding that is looked at as {position, kept: while its map is drawn}, or null. */
  get chosen() {
    if (typeof this.what !== "number") return null
    return { position: this.what, kept: this.mapOf({ model: this.pane }) !== null }
  }

  /** Everything that the panel says. */
  view() {
    const answer = this.find(this.what)
    const asking = this.asking !== null && this.asking === this.what
    return {
      offered: this.offered,
      what: this.what,
      answer,
      working: asking || ["waiting", "running"].includes(answer?.state),
      weight: answer?.state === "done" ? this.weigh(answer) : 0,
      shown: this.shown,
      panels: this.panels,
    }
  }
}

const nameOf = ({ pane, frame, what }) => `${pane}/${frame}/${what}`

async function read(path) {
  try {
    const answer = await fetch(new URL(path, location.origin))
    if (answer.ok) return await answer.json()
    return { state: "failed", error: "The explanation is no longer kept by the server. Ask again." }
  } catch {
    return { state: "failed", error: "The server does not answer." }
  }
}
