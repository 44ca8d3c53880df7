/** The viewer: holds the case and the state, judges and shows, and reports completed changes. */

import { Banner } from "./banner.js"
import { answerIn } from "./answers.js"
import { Column } from "./column.js"
import { commandsOf } from "./commands.js"
import { Handshake, mountOf } from "./component.js"
import { compare, letterOf, placeIdOf } from "./comparison.js"
import { download } from "./downloads.js"
import { element, setText } from "./elements.js"
import { Explainer } from "./explainer.js"
import { findingsOf } from "./findings.js"
import { commandOf, helpDialog } from "./keys.js"
import { Legend } from "./legend.js"
import { dialWords } from "./measured_words.js"
import { takeColours } from "./overlay.js"
import { marksOf, partsOf } from "./parts.js"
import { caseOf, pictureOf } from "./shelf.js"
import { newLook, Stage } from "./stage.js"
import { inUnit, placed, settingsOf, toggledOwn } from "./thresholds.js"
import { Toolbar } from "./toolbar.js"

const REPORT_FRAME_MILLISECONDS = 350
const NO_MODEL = { measured: null, opening: { confidence: 0.5 } }
const NEIGHBOURS = [1, -1, 2, -2]

// Zoom and window outlive a viewer that Streamlit takes down and puts up again.
const looks = new Map()

class Viewer {
  constructor(parent) {
    this.handshake = new Handshake()
    this.content = null
    this.frame = -1
    this.active = 0
    this.lit = null
    this.dotted = false
    this.findings = []
    // What several panes have in common; null where there is one.
    this.comparison = null
    this.stale = new Set()
    this.explainer = new Explainer({
      ask: (asked) => this.component.setTriggerValue("explain", { ...asked, case_id: this.caseId }),
      touch: (...parts) => this.touch(...parts),
    })
    this.build(parent)
    this.onKey = (event) => this.key(event)
    document.addEventListener("keydown", this.onKey)
  }

  build(parent) {
    this.toolbar = new Toolbar((name, argument) => this.command(name, argument))
    this.stage = new Stage({
      touch: (...parts) => this.touch(...parts),
      scroll: (steps) => this.goTo(this.state.frame + steps),
      stack: () => this.content?.frames.length > 1,
      hover: (id) => this.light(id, true),
      pick: (id) => this.pick(id),
    })
    this.column = new Column({
      change: (part) => this.change(part),
      commit: () => this.commit(),
      hover: (id) => this.light(id, false),
      pick: (id) => this.centre(id),
      choosePane: (n) => this.choosePane(n),
      showBest: () => this.toggleBest(),
      toggleOwn: () => this.set(toggledOwn(this.state, this.content.panes)),
      chooseUnit: (unit) => this.set(inUnit(this.state, unit, this.content.panes, this.active)),
      toggleLacking: () => this.command("lacking"),
      download: (kind) => download(this, kind),
      explain: {
        request: (what) => this.explainer.request(what),
        toggleMap: () => this.command("map"),
        togglePanels: () => this.explainer.togglePanels(),
        opacity: (value) => this.change({ map_opacity: value }),
        commit: () => this.commit(),
      },
    })
    this.banner = new Banner(() => this.component.setTriggerValue("read", { case_id: this.caseId }))
    this.help = helpDialog()
    this.legend = new Legend()
    const side = element("div", { class: "picture-side" }, this.banner.root, this.stage.root, this.buildSliceBar(), this.stage.foot, this.legend.root)
    const desk = element("div", { class: "desk" }, side, this.column.root)
    this.root = element("div", { class: "viewer", tabindex: "-1" }, this.toolbar.root, desk, this.help)
    this.root.caseViewer = this
    this.root.onpointerenter = () => (this.over = true)
    this.root.onpointerleave = () => (this.over = false)
    this.host = element("div", { class: "host" }, this.root)
    parent.append(this.host)
  }

  buildSliceBar() {
    const go = () => this.goTo(Number(this.slices.value))
    this.slices = element("input", { type: "range", class: "slices", min: 0, step: 1, "aria-label": "Slice", oninput: go })
    this.sliceNumber = element("span", { class: "slice-number" })
    this.sliceBar = element("div", { class: "slice-bar", hidden: true }, this.slices, this.sliceNumber)
    return this.sliceBar
  }

  // ---- what Python sends -------------------------------------------------------------------

  receive(component) {
    this.component = component
    const { data } = component
    this.title = data.title
    this.steps = data.steps
    takeColours(data.colours)
    const asked = this.handshake.asked(data.forced)
    const forced = asked !== null
    if (forced) this.state = asked
    if (data.case !== this.caseUrl) this.open(data, forced)
    else if (this.content) {
      if (forced) this.wantFrame()
      this.explainer.receive(data)
    }
    this.touch("layout")
  }

  async open({ case: url, case_id: caseId, key }, keepFrame) {
    this.caseUrl = url
    if (caseId !== this.caseId) this.stage.note("Loading…")
    try {
      const content = await caseOf(url)
      if (this.caseUrl === url) this.take(content, caseId, key, keepFrame)
    } catch (error) {
      this.stage.note(error.message)
    }
  }

  take(content, caseId, key, keepFrame) {
    if (caseId !== this.caseId) {
      const name = `${key}/${caseId}`
      this.stage.look = looks.get(name) ?? newLook()
      looks.clear()
      looks.set(name, this.stage.look)
      this.caseId = caseId
      this.lit = null
      if (!keepFrame) this.state.frame = 0
    }
    this.content = content
    this.explainer.forget()
    this.explainer.receive(this.component.data)
    // Nothing is drawn until the picture that belongs to this content is there.
    this.frame = -1
    this.dotted = false
    this.active = Math.min(this.active, Math.max(content.panes.length - 1, 0))
    this.column.showTabs(content.panes, this.active)
    this.root.dataset.models = content.panes.length
    this.wantFrame()
  }

  // ---- frames ------------------------------------------------------------------------------

  /** Fetch the wanted frame and show it together with its findings, never one without the other. */
  async wantFrame() {
    const { content, state } = this
    const wanted = Math.min(state.frame, content.frames.length - 1)
    state.frame = wanted
    const held = pictureOf(content.frames[wanted])
    const show = (picture, note) => {
      if (this.state.frame === wanted && this.content === content) this.showFrame(wanted, picture, note)
    }
    try {
      show(held.value ?? (await held.promise), "")
    } catch (error) {
      show(null, error.message)
    }
  }

  showFrame(index, picture, note) {
    const { frames } = this.content
    this.frame = index
    this.note = note
    this.explainer.look(this.active, index)
    this.stage.show(frames[index], picture)
    this.touch("layout")
    for (const by of NEIGHBOURS) if (frames[index + by]) pictureOf(frames[index + by])
  }

  goTo(index) {
    const next = Math.min(Math.max(index, 0), this.content.frames.length - 1)
    if (next === this.state.frame) return
    this.state.frame = next
    this.lit = null
    this.dotted = false
    this.wantFrame()
    this.touch("bars")
    clearTimeout(this.frameTimer)
    this.frameTimer = setTimeout(() => this.commit(), REPORT_FRAME_MILLISECONDS)
  }

  // ---- state -------------------------------------------------------------------------------

  change(part) {
    Object.assign(this.state, placed(this.state, this.active, part))
    if ("confidence" in part || "level" in part) this.dotted = false
    this.touch("findings")
  }

  /** Tell Python, once a change is complete and only where something differs. */
  commit() {
    this.handshake.tell(this.component, this.state, { case_id: this.caseId })
  }

  set(part) {
    this.change(part)
    this.touch("layout")
    this.commit()
  }

  /** The state as pane `n` sees it. */
  settings(n) {
    return settingsOf(this.state, n, this.content.panes[n] ?? NO_MODEL)
  }

  get mode() {
    if (!this.state.show_truth) return "hidden"
    return this.state.mode === "side_by_side" ? "sideBySide" : "together"
  }

  /** What a key or a tool asks for. */
  command(name, argument) {
    if (!this.content || this.stage.command(name, argument)) return
    commandsOf(this)[name](argument)
  }

  step(by) {
    if (this.steps) this.component.setTriggerValue("step", by)
  }

  stepFrame(by) {
    if (this.content.frames.length > 1) this.goTo(this.state.frame + by)
    else this.step(by)
  }

  toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen()
    else this.root.requestFullscreen()
  }

  toggleBest() {
    this.dotted = !this.dotted
    if (this.dotted) this.centre(`p${this.findings[this.active].best}`)
    this.lit = null
    this.touch("findings")
  }

  choosePane(n) {
    this.active = n
    this.explainer.look(n, this.frame)
    this.lit = null
    this.dotted = false
    this.column.showTabs(this.content.panes, n)
    this.touch("layout")
  }

  key(event) {
    const inside = this.over || event.composedPath().includes(this.root)
    const command = inside && !this.help.open ? commandOf(event) : null
    if (!command) return
    event.preventDefault()
    this.command(...command)
  }

  light(pointed, reveal) {
    const id = this.comparison ? placeIdOf(this.comparison, pointed) : pointed
    if (id === this.lit) return
    this.lit = id
    if (id && reveal) this.column.table.reveal(id)
    this.touch("overlay", "column")
  }

  /** A box was clicked: it is the one to be explained from now on. */
  pick(id) {
    this.column.table.reveal(id)
    this.chooseToExplain(id)
  }

  chooseToExplain(id) {
    if (id[0] === "p" && !this.comparison) this.explainer.choose(Number(id.slice(1)))
  }

  centre(id) {
    this.chooseToExplain(id)
    const { raw, truth } = this.findings[this.active]
    const place = this.comparison?.places.find((one) => one.id === id)
    this.lit = id
    if (place) this.stage.centreOn(place.raw.xyxy, place.at)
    else this.stage.centreOn(id[0] === "t" ? (this.comparison ?? { truth }).truth.xyxy : raw.xyxy, Number(id.slice(1)))
    this.touch("column")
  }

  // ---- drawing -----------------------------------------------------------------------------

  /** Mark parts as stale; they are drawn together in the next animation frame. */
  touch(...parts) {
    for (const part of parts) this.stale.add(part)
    this.drawing ??= requestAnimationFrame(() => this.draw())
  }

  draw() {
    cancelAnimationFrame(this.drawing)
    this.drawing = undefined
    if (!this.content || this.frame < 0) return
    const { stale } = this
    this.stale = new Set()
    const any = (...parts) => ["layout", ...parts].some((part) => stale.has(part))
    if (any()) this.banner.show(this.content.panes)
    if (any()) this.stage.arrange(partsOf(this), this.note)
    if (any("findings")) {
      this.judge()
      this.tell()
    }
    if (any()) this.column.controls.dial.histogram.fill(this.findings[this.active]?.raw?.scores ?? [])
    if (any("picture")) this.stage.paint()
    if (any("picture", "findings", "map")) this.stage.paintMaps((part) => this.explainer.mapOf(part), this.state.map_opacity)
    if (any("picture", "findings", "overlay", "map")) this.mark()
    if (any("findings", "column")) this.showColumn()
    else if (any("explanation")) this.showExplanation()
    this.showBars()
  }

  judge() {
    const { classes, frames, panes } = this.content
    const stateOf = (n) => ({ ...this.settings(n), frame: this.frame })
    this.findings = panes.map((pane, n) => findingsOf(pane, frames[this.frame], classes, stateOf(n)))
    this.comparison = panes.length > 1 ? compare(panes, this.findings, this.state) : null
  }

  /** Where the dial takes each model, and the answer to the case there. */
  tell() {
    const { panes } = this.content
    const wordsOf = (n) => dialWords(panes[n], this.state, n, this.settings(n), panes[n].image_scores[this.frame])
    // A map of its own beside the picture says nothing new of the case.
    const told = ({ model, what }) => model !== null && !what
    this.stage.tell((part) => (told(part) ? wordsOf(part.model) : ""))
    this.stage.answer((part) => (told(part) ? answerIn(panes[part.model], this.settings(part.model)) : null))
    this.legend.show(panes, this.active, panes.length > 1 ? letterOf(this.active) : "")
    this.root.classList.toggle("measured", panes.some((pane) => pane.measured))
  }

  mark() {
    const options = { opacity: this.state.mask_opacity, masks: this.state.show_masks }
    if (!this.stage.mark((part) => marksOf(this, part), options)) this.touch("overlay")
  }

  showColumn() {
    const { active, comparison, content, lit, dotted } = this
    const pane = content.panes[active]
    const state = this.settings(active)
    const compared = comparison && { comparison, panes: content.panes, active }
    this.column.show({ panes: content.panes, pane, active, findings: this.findings[active], classes: content.classes, state, lit, dotted, compared, explaining: this.explainer.view() })
  }

  /** Alone, so that a number being typed is left as it is while an explanation goes on. */
  showExplanation() {
    const { active, content, explainer, findings } = this
    this.column.showExplanation(content.panes[active], findings[active], this.state, explainer.view())
  }

  showBars() {
    const { content, state, steps, title } = this
    const { frames } = content
    const truthKnown = frames[this.frame].truth !== null
    const mode = truthKnown ? this.mode : "together"
    const anyMask = this.findings.some(({ raw, truth }) => raw?.masks.length || truth?.masks.length)
    this.toolbar.show({ title, mode, truthKnown, state, look: this.stage.look, anyMask, steps })
    this.sliceBar.hidden = frames.length < 2
    this.slices.max = frames.length - 1
    this.slices.value = state.frame
    setText(this.sliceNumber, `${state.frame + 1} / ${frames.length}`)
  }

  close() {
    document.removeEventListener("keydown", this.onKey)
    clearTimeout(this.frameTimer)
    cancelAnimationFrame(this.drawing)
    this.stage.close()
    this.column.close()
    this.host.remove()
  }
}

/** Put up the viewer under a component's root, or hand new data to the one that is there. */
export const mount = mountOf(Viewer)
