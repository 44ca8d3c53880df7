/**
 * The image side: one to four panes that share one look (view transform, window, inversion).
 * What is drawn in them is decided elsewhere; here it is decided how it is seen.
 */

import { element, setText } from "./elements.js"
import { columnsFor } from "./grid.js"
import { PaneView } from "./pane.js"
import { Gestures } from "./pointer.js"
import { centreOn, fit, matrix, newView, panBy, toImage, zoomAt } from "./view.js"
import { buildLut, presets } from "./windows.js"

const SETTLE_MILLISECONDS = 160
const ZOOM_STEP = 1.25

export function newLook() {
  const own = { window: null, windows: [], preset: 0, inverted: false, smooth: true }
  return { ...own, view: newView(), windowing: false }
}

export class Stage {
  /** `actions`: touch(...parts), scroll(steps), stack(), hover(id), pick(id). */
  constructor(actions) {
    this.actions = actions
    this.look = newLook()
    this.panes = []
    this.frame = null
    this.image = null
    this.lut = { key: "", serial: 0, words: null }
    this.root = element("div", { class: "stage" })
    this.readout = element("span", { class: "readout" })
    this.status = element("span", { class: "status" })
    this.foot = element("div", { class: "foot" }, this.readout, this.status)
  }

  // ---- panes -------------------------------------------------------------------------------

  /** As many panes as `parts`, each part {title, warnings, note, …} kept as `pane.part`. */
  arrange(parts, note) {
    while (this.panes.length > parts.length) this.panes.pop().close()
    while (this.panes.length < parts.length) this.addPane()
    this.regrid()
    this.panes.forEach((pane, n) => {
      pane.part = parts[n]
      pane.show(parts[n])
      pane.setNote(note || parts[n].note || "")
      pane.measure()
    })
    this.refit()
  }

  addPane() {
    const pane = new PaneView(() => {
      this.refit()
      this.actions.touch("image")
    })
    pane.gestures = new Gestures(pane.root, {
      actions: this.gestureActions(pane),
      stack: this.actions.stack,
      windowing: () => this.look.windowing,
    })
    this.root.append(pane.root)
    this.panes.push(pane)
  }

  note(text) {
    if (!this.panes.length) this.arrange([{ title: "", warnings: [] }], text)
    else this.panes.forEach((pane) => pane.setNote(text))
  }

  /** Show this frame from now on; an image that could not be had is null. */
  show(frame, image) {
    this.frame = frame
    this.image = image
    if (!image || this.look.window) return
    this.look.windows = presets(frame, image)
    this.look.window = { ...this.look.windows[0] }
  }

  get size() {
    return this.panes[0].size
  }

  /** Panes in rows and columns, so that the image is as large as it can be. */
  regrid() {
    const size = { width: this.root.clientWidth, height: this.root.clientHeight }
    const frame = this.frame ?? { width: 1, height: 1 }
    const columns = columnsFor(this.panes.length, size, frame, this.look.view.turns)
    this.root.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`
  }

  refit() {
    this.regrid()
    if (this.frame && this.look.view.fitted) fit(this.look.view, this.size, this.frame)
  }

  close() {
    clearTimeout(this.settleTimer)
    this.panes.forEach((pane) => pane.close())
  }

  // ---- commands ----------------------------------------------------------------------------

  /** Carry out a command on the look; false when it is none. */
  command(name, argument) {
    const { view } = this.look
    const zoom = (factor) => zoomAt(view, this.size, this.frame, this.size.width / 2, this.size.height / 2, factor)
    const commands = {
      zoomIn: () => zoom(ZOOM_STEP),
      zoomOut: () => zoom(1 / ZOOM_STEP),
      fit: () => fit(view, this.size, this.frame),
      reset: () => this.reset(),
      flipH: () => (view.flipH = !view.flipH),
      flipV: () => (view.flipV = !view.flipV),
      turn: () => this.turn(),
      invert: () => this.toggle("inverted"),
      smooth: () => this.toggle("smooth"),
      windowing: () => this.toggle("windowing"),
      preset: () => this.choosePreset(argument),
    }
    if (!Object.hasOwn(commands, name)) return false
    if (this.frame) commands[name]()
    this.actions.touch("image")
    return true
  }

  toggle(name) {
    this.look[name] = !this.look[name]
  }

  turn() {
    const { view } = this.look
    view.turns = (view.turns + 1) % 4
    this.refit()
  }

  reset() {
    Object.assign(this.look.view, newView())
    Object.assign(this.look, { inverted: false, smooth: true, windowing: false })
    this.refit()
    this.choosePreset(0)
  }

  choosePreset(n) {
    const window = this.look.windows[n]
    if (window) Object.assign(this.look, { window: { ...window }, preset: n })
  }

  centreOn(xyxy, index) {
    centreOn(this.look.view, this.size, this.frame, xyxy, index)
    this.actions.touch("image")
  }

  // ---- pointing ----------------------------------------------------------------------------

  gestureActions(pane) {
    const moving = (act) => (...given) => {
      if (!this.frame) return
      act(...given)
      this.moveSoon()
      this.actions.touch("image")
    }
    return {
      zoom: moving((x, y, factor) => zoomAt(this.look.view, pane.size, this.frame, x, y, factor)),
      pan: moving((dx, dy) => panBy(this.look.view, pane.size, this.frame, dx, dy)),
      window: moving((dx, dy) => this.dragWindow(dx, dy)),
      scroll: (steps) => this.actions.scroll(steps),
      fit: () => this.command("fit"),
      hover: (x, y) => this.hover(pane, x, y),
      leave: () => this.leave(),
      pick: (x, y) => this.pick(pane, x, y),
      settle: () => this.settle(),
    }
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
    this.actions.touch("image")
  }

  dragWindow(dx, dy) {
    const { window } = this.look
    if (!window) return
    const reach = Math.max(window.width, 2 ** this.image.bits / 256)
    const least = window.function === "LINEAR" ? 1 : 2 ** -10
    const width = Math.max(window.width + (dx * reach) / 300, least)
    const center = window.center + (dy * reach) / 300
    Object.assign(this.look, { window: { ...window, width, center }, preset: -1 })
  }

  hover(pane, x, y) {
    if (!this.frame) return
    const mark = pane.markUnder(x, y)
    this.actions.hover(mark ? mark.id : null)
    setText(this.readout, this.describePoint(toImage(matrix(this.look.view, pane.size), x, y)))
  }

  leave() {
    setText(this.readout, "")
    this.actions.hover(null)
  }

  pick(pane, x, y) {
    const mark = pane.markUnder(x, y)
    if (mark) this.actions.pick(mark.id)
  }

  describePoint([x, y]) {
    const value = this.image?.at(x, y) ?? null
    if (value === null) return ""
    const { scale, spacing_mm: spacing } = this.frame
    const parts = [`x ${Math.floor(x)}  y ${Math.floor(y)}`, `value ${value}`]
    const plain = scale.slope === 1 && scale.offset === 0
    if (!plain) parts.push(`${+(value * scale.slope + scale.offset).toFixed(2)} ${scale.unit}`)
    if (spacing) parts.push(`${(x * spacing[1]).toFixed(1)} × ${(y * spacing[0]).toFixed(1)} mm`)
    return parts.join("   ")
  }

  // ---- drawing -----------------------------------------------------------------------------

  paint() {
    if (this.image) this.renewLut()
    for (const pane of this.panes) pane.paint(this.image, this.lut, this.look, this.swift)
    setText(this.status, this.describeView())
  }

  /** Draw `mapOf(part)` in every pane, at this opacity. */
  paintMaps(mapOf, opacity) {
    for (const pane of this.panes) pane.paintMap(this.image && mapOf(pane.part), this.look, { opacity, swift: this.swift })
  }

  renewLut() {
    const { window, inverted } = this.look
    const { bits } = this.image
    const key = JSON.stringify([window, inverted, bits])
    if (key === this.lut.key) return
    this.lut = { key, serial: this.lut.serial + 1, words: buildLut(window, bits, inverted) }
  }

  /** Say `wordsOf(part)` at the head of every pane. */
  tell(wordsOf) {
    for (const pane of this.panes) pane.tell(wordsOf(pane.part))
  }

  /** Show `answerIn(part)`, the answer to the case, at the head of every pane. */
  answer(answerIn) {
    for (const pane of this.panes) pane.showAnswer(answerIn(pane.part))
  }

  /** Draw `marksOf(part)` in every pane; whether everything could be drawn in this frame. */
  mark(marksOf, { opacity, masks }) {
    const options = { opacity, masks, spacingMm: this.frame.spacing_mm }
    const drawn = this.panes.map((pane) => pane.mark(marksOf(pane.part), this.look, options))
    return drawn.every(Boolean)
  }

  describeView() {
    const { view, window } = this.look
    const { width, height, scale } = this.frame
    const parts = [`${width} × ${height}`, `${Math.round(view.scale * 100)} %`]
    if (window) {
      const center = window.center * scale.slope + scale.offset
      parts.push(`WL ${Math.round(center)}  WW ${Math.round(window.width * Math.abs(scale.slope))}`)
    }
    return parts.join("   ")
  }
}
