/** The viewer: holds the state, draws it, and tells Python of it when a change is complete. */

import { Column } from "./column.js"
import { element, setText } from "./elements.js"
import { cocoOf, drawSheet, fileName, NOTICE, save } from "./exports.js"
import { account, findingsOf } from "./findings.js"
import { commandOf, helpDialog } from "./keys.js"
import { findingMarks, truthMarks } from "./marks.js"
import { PaneView } from "./pane.js"
import { Gestures } from "./pointer.js"
import { caseOf, pictureOf } from "./shelf.js"
import { Toolbar } from "./toolbar.js"
import { centreOn, fit, matrix, newView, panBy, toImage, zoomAt } from "./view.js"
import { buildLut, presets } from "./windows.js"

const SETTLE_MILLISECONDS = 160
const REPORT_FRAME_MILLISECONDS = 350
const NEIGHBOURS = [1, -1, 2, -2]

const newLook = () => ({ view: newView(), window: null, preset: 0, inverted: false, smooth: true, windowing: false })

// Zoom and window outlive a viewer that Streamlit takes down and puts up again.
const looks = new Map()

class Viewer {
  constructor(parent) {
    this.content = null
    this.state = null
    this.look = newLook()
    this.frame = 0
    this.active = 0
    this.lit = null
    this.dotted = false
    this.panes = []
    this.findings = []
    this.lut = { serial: 0, words: null, key: "" }
    this.forced = null
    this.caseUrl = null
    this.stale = new Set()
    this.build(parent)
    this.onKey = (event) => this.key(event)
    document.addEventListener("keydown", this.onKey)
  }

  build(parent) {
    this.toolbar = new Toolbar((name, argument) => this.command(name, argument))
    this.column = new Column({
      change: (part) => this.change(part),
      commit: () => this.commit(),
      hover: (id) => this.light(id, "table"),
      pick: (id) => this.centre(id),
      choosePane: (n) => this.choosePane(n),
      showBest: () => this.toggleBest(),
      download: (kind) => this.download(kind),
    })
    this.stage = element("div", { class: "stage" })
    this.slices = element("input", { type: "range", class: "slices", min: 0, step: 1, "aria-label": "Slice", oninput: () => this.goTo(Number(this.slices.value)) })
    this.sliceNumber = element("span", { class: "slice-number" })
    this.sliceBar = element("div", { class: "slice-bar", hidden: true }, this.slices, this.sliceNumber)
    this.readout = element("span", { class: "readout" })
    this.status = element("span", { class: "status" })
    this.help = helpDialog()
    this.host = element("div", { class: "host" },
      element("div", { class: "viewer", tabindex: "-1" }, this.toolbar.root,
        element("div", { class: "desk" },
          element("div", { class: "picture-side" }, this.stage, this.sliceBar, element("div", { class: "foot" }, this.readout, this.status)),
          this.column.root),
        this.help))
    this.root = this.host.firstChild
    this.root.caseViewer = this
    this.root.onpointerenter = () => (this.over = true)
    this.root.onpointerleave = () => (this.over = false)
    parent.append(this.host)
  }

  // ---- what Python sends -------------------------------------------------------------------

  receive(component) {
    this.component = component
    const { data } = component
    if (data.forced.id !== this.forced) {
      this.forced = data.forced.id
      this.state = { ...data.forced.state }
      this.reported = JSON.stringify(this.state)
      if (this.content) this.clampFrame()
      this.touch("layout", "findings")
    }
    this.title = data.title
    this.steps = data.steps
    if (data.case !== this.caseUrl) this.open(data)
    else this.touch("toolbar")
  }

  async open({ case: url, case_id: caseId, key }) {
    this.caseUrl = url
    if (caseId !== this.caseId) this.eachPane((pane) => pane.setNote("Loading…"))
    try {
      const content = await caseOf(url)
      if (this.caseUrl === url) this.take(content, caseId, key)
    } catch (error) {
      this.fail(error)
    }
  }

  take(content, caseId, key) {
    const another = caseId !== this.caseId
    const first = this.caseId === undefined
    this.content = content
    this.caseId = caseId
    if (another) {
      const name = `${key}/${caseId}`
      this.look = looks.get(name) ?? newLook()
      looks.clear()
      looks.set(name, this.look)
      this.frame = -1
      if (!first) this.state.frame = 0
      this.lit = null
    }
    this.dotted = false
    this.active = Math.min(this.active, Math.max(content.panes.length - 1, 0))
    this.clampFrame()
    this.column.showTabs(content.panes, this.active)
    this.wantFrame()
    this.touch("layout", "findings")
  }

  clampFrame() {
    this.state.frame = Math.min(Math.max(this.state.frame, 0), this.content.frames.length - 1)
    if (this.frame !== this.state.frame) this.wantFrame()
  }

  fail(error) {
    this.eachPane((pane) => pane.setNote(error.message))
    if (!this.panes.length) setText(this.readout, error.message)
  }

  // ---- frames ------------------------------------------------------------------------------

  /** Fetch the wanted frame and show it together with its findings, never one without the other. */
  async wantFrame() {
    const wanted = this.state.frame
    const content = this.content
    const frame = content.frames[wanted]
    const current = () => this.state.frame === wanted && this.content === content
    const held = pictureOf(frame)
    try {
      if (!held.value) await held.promise
      if (current()) this.showFrame(wanted, held.value, "")
    } catch (error) {
      if (current()) this.showFrame(wanted, null, error.message)
    }
  }

  showFrame(index, picture, note) {
    this.frame = index
    this.picture = picture
    this.note = note
    if (picture && !this.look.window) this.offerWindows()
    this.touch("layout", "findings")
    const { frames } = this.content
    for (const by of NEIGHBOURS) if (frames[index + by]) pictureOf(frames[index + by]).promise.catch(() => null)
  }

  offerWindows() {
    this.windows = presets(this.content.frames[this.frame], this.picture)
    this.look.windows = this.windows
    this.look.window = { ...this.windows[0] }
    this.look.preset = 0
  }

  goTo(index) {
    const next = Math.min(Math.max(index, 0), this.content.frames.length - 1)
    if (next === this.state.frame) return
    this.state.frame = next
    this.lit = null
    this.dotted = false
    this.wantFrame()
    this.touch("slices")
    clearTimeout(this.frameTimer)
    this.frameTimer = setTimeout(() => this.commit(), REPORT_FRAME_MILLISECONDS)
  }

  // ---- state -------------------------------------------------------------------------------

  change(part) {
    Object.assign(this.state, part)
    if ("confidence" in part) this.dotted = false
    this.touch("findings")
  }

  /** Tell Python, once a change is complete and only where something differs. */
  commit() {
    const text = JSON.stringify(this.state)
    if (text === this.reported) return
    this.reported = text
    this.component.setStateValue("state", { ...this.state, case_id: this.caseId })
  }

  set(part) {
    this.change(part)
    this.touch("layout")
    this.commit()
  }

  get mode() {
    if (!this.state.show_truth) return "hidden"
    return this.state.mode === "side_by_side" ? "sideBySide" : "together"
  }

  command(name, argument) {
    const { state, look } = this
    if (!this.content) return
    const steps = { previousCase: -1, nextCase: 1 }
    const toggles = { invert: "inverted", smooth: "smooth", windowing: "windowing" }
    if (name in steps) this.step(steps[name])
    else if (name in toggles) this.adjust({ [toggles[name]]: !look[toggles[name]] })
    else if (name === "together") this.set({ mode: "together", show_truth: true })
    else if (name === "hidden") this.set({ show_truth: false })
    else if (name === "sideBySide") this.set(this.mode === name ? { mode: "together" } : { mode: "side_by_side", show_truth: true })
    else if (name === "truth") this.set({ show_truth: !state.show_truth })
    else if (name === "overlay") this.set({ show_overlay: !state.show_overlay })
    else if (name === "masks") this.set({ show_masks: !state.show_masks })
    else if (name === "opacity") this.change({ mask_opacity: argument })
    else if (name === "commit") this.commit()
    else if (name === "help") this.help.showModal()
    else if (name === "full") this.toggleFull()
    else this.moveCommand(name, argument)
  }

  moveCommand(name, argument) {
    const { view } = this.look
    const frame = this.content.frames[this.frame] ?? this.content.frames[0]
    const { size } = this.panes[0]
    const single = this.content.frames.length === 1
    if (name === "fit") fit(view, size, frame)
    else if (name === "reset") this.reset(size, frame)
    else if (name === "zoomIn") zoomAt(view, size, frame, size.width / 2, size.height / 2, 1.25)
    else if (name === "zoomOut") zoomAt(view, size, frame, size.width / 2, size.height / 2, 0.8)
    else if (name === "flipH" || name === "flipV") view[name] = !view[name]
    else if (name === "turn") this.turn(size, frame)
    else if (name === "preset") this.choosePreset(argument)
    else if (name === "previousFrame") return single ? this.step(-1) : this.goTo(this.state.frame - 1)
    else if (name === "nextFrame") return single ? this.step(1) : this.goTo(this.state.frame + 1)
    return this.touch("picture")
  }

  turn(size, frame) {
    const { view } = this.look
    view.turns = (view.turns + 1) % 4
    if (view.fitted) fit(view, size, frame)
  }

  reset(size, frame) {
    Object.assign(this.look.view, newView())
    Object.assign(this.look, { inverted: false, smooth: true, windowing: false })
    fit(this.look.view, size, frame)
    this.choosePreset(0)
  }

  choosePreset(n) {
    const { windows } = this.look
    if (windows?.[n]) this.adjust({ window: { ...windows[n] }, preset: n })
  }

  adjust(part) {
    Object.assign(this.look, part)
    this.touch("picture")
  }

  step(by) {
    if (this.steps) this.component.setTriggerValue("step", by)
  }

  toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen()
    else this.root.requestFullscreen()
  }

  toggleBest() {
    this.dotted = !this.dotted
    if (this.dotted) this.centre(`p${this.findings[this.active].best}`)
    this.touch("findings")
  }

  choosePane(n) {
    this.active = n
    this.lit = null
    this.column.showTabs(this.content.panes, n)
    this.touch("findings", "layout")
  }

  key(event) {
    const inside = this.over || event.composedPath().includes(this.root)
    if (!inside || !this.content || this.help.open) return
    const command = commandOf(event)
    if (!command) return
    event.preventDefault()
    this.command(...command)
  }

  // ---- pointing ----------------------------------------------------------------------------

  gestures(pane) {
    const frame = () => this.content.frames[Math.max(this.frame, 0)]
    const moved = () => {
      this.moveSoon()
      this.touch("picture")
    }
    const actions = {
      zoom: (at, x, y, factor) => moved(zoomAt(this.look.view, at.size, frame(), x, y, factor)),
      pan: (dx, dy) => moved(panBy(this.look.view, pane.size, frame(), dx, dy)),
      window: (dx, dy) => this.dragWindow(dx, dy),
      scroll: (steps) => this.goTo(this.state.frame + steps),
      fit: () => this.command("fit"),
      hover: (at, x, y) => this.hover(at, x, y),
      pick: (at, x, y) => this.pick(at, x, y),
      settle: () => this.settle(),
    }
    const stack = () => this.content?.frames.length > 1
    return new Gestures(pane, pane.root, { actions, stack, windowing: () => this.look.windowing })
  }

  /** Movement is drawn swiftly; when it rests, once more with care. */
  moveSoon() {
    this.swift = true
    clearTimeout(this.settleTimer)
    this.settleTimer = setTimeout(() => this.settle(), SETTLE_MILLISECONDS)
  }

  settle() {
    clearTimeout(this.settleTimer)
    if (!this.swift) return
    this.swift = false
    this.touch("picture")
  }

  dragWindow(dx, dy) {
    const { window } = this.look
    if (!window) return
    const reach = Math.max(window.width, 2 ** this.picture.bits / 256)
    const least = window.function === "LINEAR" ? 1 : 2 ** -10
    const width = Math.max(window.width + (dx * reach) / 300, least)
    const center = window.center + (dy * reach) / 300
    this.moveSoon()
    this.adjust({ window: { ...window, width, center }, preset: -1 })
  }

  hover(pane, x, y) {
    if (!pane || !this.content || this.frame < 0) {
      setText(this.readout, "")
      return this.light(null, "picture")
    }
    const mark = this.state.show_overlay ? pane.markUnder(x, y) : null
    this.light(mark ? mark.id : null, "picture")
    return setText(this.readout, this.describe(pane, x, y))
  }

  describe(pane, x, y) {
    const [px, py] = toImage(matrix(this.look.view, pane.size), x, y)
    const value = this.picture?.at(px, py)
    if (value === null || value === undefined) return ""
    const { scale, spacing_mm: spacing } = this.content.frames[this.frame]
    const real = value * scale.slope + scale.offset
    const plain = scale.slope === 1 && scale.offset === 0
    const parts = [`x ${Math.floor(px)}  y ${Math.floor(py)}`, `value ${value}`]
    if (!plain) parts.push(`${+real.toFixed(2)} ${scale.unit}`)
    if (spacing) parts.push(`${(px * spacing[1]).toFixed(1)} × ${(py * spacing[0]).toFixed(1)} mm`)
    return parts.join("   ")
  }

  pick(pane, x, y) {
    const mark = pane.markUnder(x, y)
    if (mark) this.column.table.reveal(mark.id)
  }

  light(id, source) {
    if (id === this.lit) return
    this.lit = id
    if (id && source === "picture") this.column.table.reveal(id)
    this.touch("overlay", "column")
  }

  centre(id) {
    const index = Number(id.slice(1))
    const { raw, truth } = this.findings[this.active]
    const { xyxy } = id[0] === "t" ? truth : raw
    centreOn(this.look.view, this.panes[0].size, this.content.frames[this.frame], xyxy, index)
    this.lit = id
    this.touch("picture", "column")
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
    const stale = this.stale
    this.stale = new Set()
    if (!this.content || !this.state || this.frame < 0) return
    if (stale.has("layout")) this.arrange()
    const all = stale.has("layout")
    if (all || stale.has("findings")) this.judge()
    if (all || stale.has("picture")) this.paint()
    if (all || stale.has("picture") || stale.has("findings") || stale.has("overlay")) this.mark()
    if (all || stale.has("findings") || stale.has("column")) this.showColumn()
    this.showBars()
  }

  /** The panes in the present mode: {title, model: index or null, truth}. */
  layout() {
    const { panes, frames } = this.content
    const known = frames[this.frame].truth !== null
    const shown = this.state.show_truth && known
    const truthOnly = { title: known ? "Truth" : "Picture", model: null, truth: shown, warnings: [] }
    if (!panes.length) return [truthOnly]
    const beside = this.mode === "sideBySide" && known
    const models = panes.map(({ title, warnings }, model) => ({ title, model, truth: shown && !beside, warnings }))
    return beside ? [truthOnly, ...models] : models
  }

  arrange() {
    const wanted = this.layout()
    while (this.panes.length > wanted.length) this.panes.pop().close()
    while (this.panes.length < wanted.length) this.addPane()
    wanted.forEach((part, n) => {
      this.panes[n].part = part
      this.panes[n].show(part)
      this.panes[n].setNote(this.note)
    })
    this.stage.dataset.panes = wanted.length
    this.eachPane((pane) => pane.measure())
    this.refit()
  }

  addPane() {
    const pane = new PaneView(() => {
      this.refit()
      this.touch("picture")
    })
    this.gestures(pane)
    this.stage.append(pane.root)
    this.panes.push(pane)
  }

  refit() {
    const frame = this.content?.frames[this.frame]
    if (frame && this.look.view.fitted && this.panes.length) fit(this.look.view, this.panes[0].size, frame)
  }

  eachPane(act) {
    this.panes.forEach(act)
  }

  judge() {
    const { content, state } = this
    const frame = content.frames[this.frame]
    const shown = { ...state, frame: this.frame }
    this.findings = content.panes.map((pane) => findingsOf(pane, frame, content.classes, shown))
    this.eachPane((pane) => (pane.part.marks = null))
    const raw = this.findings[this.active]?.raw
    this.column.controls.histogram.fill(raw ? raw.scores : [])
  }

  paint() {
    if (this.picture) this.renewLut()
    this.eachPane((pane) => pane.paint(this.picture, this.lut, this.look, this.swift))
  }

  renewLut() {
    const { window, inverted } = this.look
    const key = JSON.stringify([window, inverted, this.picture.bits])
    if (key === this.lut.key) return
    this.lut = { key, serial: this.lut.serial + 1, words: buildLut(window, this.picture.bits, inverted) }
  }

  marksFor(part) {
    if (!this.state.show_overlay) return []
    const { truth } = this.content.frames[this.frame]
    const findings = this.findings[part.model ?? this.active]
    const lit = part.model === null || part.model === this.active ? this.lit : null
    const truths = part.truth ? truthMarks(truth, findings?.missed ?? [], this.lit) : []
    if (part.model === null) return truths
    return [...truths, ...findingMarks(this.content.panes[part.model], findings, lit, this.dotted)]
  }

  mark() {
    const { state } = this
    const options = {
      opacity: state.mask_opacity,
      masks: state.show_masks,
      spacingMm: this.content.frames[this.frame].spacing_mm,
    }
    const complete = this.panes.map((pane) => pane.mark(this.marksFor(pane.part), this.look, options))
    if (complete.includes(false)) this.touch("overlay")
  }

  showColumn() {
    const { content, state, lit, dotted } = this
    const pane = content.panes[this.active]
    this.column.show({ pane, findings: this.findings[this.active], classes: content.classes, state, lit, dotted })
  }

  showBars() {
    const { content, state, look } = this
    const frames = content.frames.length
    const anyMask = this.findings.some(({ raw, truth }) => raw?.masks.length || truth?.masks.length)
    const truthKnown = content.frames[this.frame].truth !== null
    const mode = truthKnown ? this.mode : "together"
    this.toolbar.show({ title: this.title, mode, truthKnown, state, look, anyMask, steps: this.steps })
    if (look.windows && this.offered !== look.windows) {
      this.offered = look.windows
      this.toolbar.offerWindows(look.windows)
      this.toolbar.windows.value = look.preset
    }
    this.sliceBar.hidden = frames < 2
    this.slices.max = frames - 1
    this.slices.value = state.frame
    setText(this.sliceNumber, `${state.frame + 1} / ${frames}`)
    setText(this.status, this.describeView())
  }

  describeView() {
    const { view, window } = this.look
    const frame = this.content.frames[this.frame]
    const parts = [`${frame.width} × ${frame.height}`, `${Math.round(view.scale * 100)} %`]
    if (window) {
      const { slope, offset } = frame.scale
      const center = window.center * slope + offset
      parts.push(`C ${Math.round(center)}  W ${Math.round(window.width * Math.abs(slope))}`)
    }
    return parts.join("   ")
  }

  // ---- files -------------------------------------------------------------------------------

  download(kind) {
    const pane = this.content.panes[this.active]
    if (!pane) return
    if (kind === "coco") {
      const text = JSON.stringify(cocoOf(this.content, pane, this.state), null, 1)
      save(new Blob([text], { type: "application/json" }), fileName(this.title, "_findings.json"))
    } else if (this.picture) {
      const sheet = this.sheet(pane)
      sheet.toBlob((blob) => save(blob, fileName(this.title, "_findings.png")), "image/png")
    }
  }

  sheet(pane) {
    const findings = this.findings[this.active]
    const part = { model: this.active, truth: this.state.show_truth }
    const frames = this.content.frames.length
    const slice = frames > 1 ? `, slice ${this.frame + 1} of ${frames}` : ""
    return drawSheet(this.picture, {
      window: this.look.window,
      inverted: this.look.inverted,
      marks: this.marksFor(part),
      masks: this.state.show_masks,
      opacity: this.state.mask_opacity,
      lines: [`${this.title}${slice} · ${pane.title}`, account(pane, findings, this.state), NOTICE],
    })
  }

  close() {
    document.removeEventListener("keydown", this.onKey)
    clearTimeout(this.settleTimer)
    clearTimeout(this.frameTimer)
    cancelAnimationFrame(this.drawing)
    this.eachPane((pane) => pane.watch.disconnect())
    this.column.table.close()
    this.host.remove()
  }
}

const viewers = new WeakMap()

/** Put up the viewer under a component's root or hand new data to the one that is there. */
export function mount(component) {
  const { parentElement } = component
  const viewer = viewers.get(parentElement) ?? new Viewer(parentElement)
  viewers.set(parentElement, viewer)
  viewer.receive(component)
  return () => {
    viewers.delete(parentElement)
    viewer.close()
  }
}
