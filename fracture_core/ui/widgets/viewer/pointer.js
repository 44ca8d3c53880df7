/** Mouse, pen and touch on the panes, by pointer events. */

const WHEEL_ZOOM = 0.0016
const WHEEL_STEP_PX = 40

/**
 * `actions`: zoom(x, y, factor), pan(dx, dy), window(dx, dy), scroll(steps), fit(), hover(x, y),
 * leave(), pick(x, y), settle(). Coordinates are CSS pixels of the pane. `stack()` tells whether
 * the wheel scrolls slices, `windowing()` whether the plain drag changes the window.
 */
export class Gestures {
  constructor(root, { actions, stack, windowing }) {
    Object.assign(this, { root, actions, stack, windowing })
    this.pointers = new Map()
    this.mode = null
    this.wheeled = 0
    root.addEventListener("wheel", (event) => this.wheel(event), { passive: false })
    root.onpointerdown = (event) => this.down(event)
    root.onpointermove = (event) => this.move(event)
    root.onpointerup = root.onpointercancel = (event) => this.up(event)
    root.onpointerleave = () => this.pointers.size || actions.leave()
    root.ondblclick = () => actions.fit()
    root.oncontextmenu = (event) => event.preventDefault()
  }

  place(event) {
    const bounds = this.root.getBoundingClientRect()
    return { x: event.clientX - bounds.left, y: event.clientY - bounds.top }
  }

  wheel(event) {
    event.preventDefault()
    const pixels = event.deltaY * [1, 20, 400][event.deltaMode] || event.deltaX
    const zooming = !this.stack() || event.ctrlKey || event.shiftKey || event.metaKey
    const { x, y } = this.place(event)
    if (zooming) return this.actions.zoom(x, y, Math.exp(-pixels * WHEEL_ZOOM))
    this.wheeled += pixels
    const steps = Math.trunc(this.wheeled / WHEEL_STEP_PX)
    this.wheeled -= steps * WHEEL_STEP_PX
    return steps && this.actions.scroll(steps)
  }

  down(event) {
    this.root.setPointerCapture(event.pointerId)
    this.pointers.set(event.pointerId, { ...this.place(event), travel: 0 })
    const window = event.button === 2 || event.shiftKey || (this.windowing() && event.button === 0)
    this.mode = this.pointers.size > 1 ? "pinch" : window ? "window" : "pan"
    if (event.button === 1) event.preventDefault()
  }

  move(event) {
    const before = this.pointers.get(event.pointerId)
    const now = this.place(event)
    if (!before) return this.actions.hover(now.x, now.y)
    const [dx, dy] = [now.x - before.x, now.y - before.y]
    if (this.mode === "pinch") this.pinch(event.pointerId, now)
    else if (this.mode === "window") this.actions.window(dx, dy)
    else this.actions.pan(dx, dy)
    const travel = before.travel + Math.abs(dx) + Math.abs(dy)
    return this.pointers.set(event.pointerId, { ...now, travel })
  }

  pinch(id, now) {
    const others = [...this.pointers].filter(([other]) => other !== id)
    if (others.length !== 1) return
    const before = this.pointers.get(id)
    const still = others[0][1]
    const distance = (p) => Math.max(Math.hypot(p.x - still.x, p.y - still.y), 1)
    const middle = (p) => ({ x: (p.x + still.x) / 2, y: (p.y + still.y) / 2 })
    const [from, to] = [middle(before), middle(now)]
    this.actions.zoom(from.x, from.y, distance(now) / distance(before))
    this.actions.pan(to.x - from.x, to.y - from.y)
  }

  up(event) {
    const before = this.pointers.get(event.pointerId)
    this.pointers.delete(event.pointerId)
    if (!before) return
    const click = before.travel < 4 && event.type === "pointerup" && event.button === 0
    if (click && this.mode === "pan") this.actions.pick(before.x, before.y)
    this.mode = this.pointers.size ? "pan" : null
    this.actions.settle()
  }
}
