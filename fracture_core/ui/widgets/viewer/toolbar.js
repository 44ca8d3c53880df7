/** The row of tools above the image. Every tool is a command that a key gives as well. */

import { element, icon, setText } from "./elements.js"

export class Toolbar {
  constructor(command) {
    this.command = command
    this.title = element("strong", { class: "case-title" })
    this.step = element("span", { class: "group" },
      this.tool("previousCase", "previous", "Previous case (P)"), this.tool("nextCase", "next", "Next case (N)"))
    this.modes = {
      together: this.choice("together", "Together", "Ground truth and prediction in one image"),
      hidden: this.choice("hidden", "GT hidden", "Read without the ground truth (G)"),
      sideBySide: this.choice("sideBySide", "Side by side", "Ground truth beside prediction (S)"),
    }
    this.overlay = this.choice("overlay", "Overlay", "All drawings on and off (O)")
    this.masks = this.choice("masks", "Masks", "Masks on and off (K)")
    this.opacity = element("input", { type: "range", class: "small", min: 0, max: 1, step: 0.05, "aria-label": "Mask opacity", title: "Mask opacity",
      oninput: () => command("opacity", Number(this.opacity.value)), onchange: () => command("commit") })
    this.maskGroup = element("span", { class: "group" }, this.masks, this.opacity)
    const chooseWindow = () => {
      this.windows.blur()
      command("preset", Number(this.windows.value))
    }
    this.windows = element("select", { "aria-label": "Window", title: "Window (1–9)", onchange: chooseWindow })
    this.inverted = this.tool("invert", "invert", "Invert (I)")
    this.windowing = this.tool("windowing", "window", "Drag changes the window (as right drag or Shift + drag)")
    this.flipH = this.tool("flipH", "flipH", "Flip left and right (H)")
    this.flipV = this.tool("flipV", "flipV", "Flip up and down (V)")
    this.smooth = this.tool("smooth", "smooth", "Smooth between pixels")
    this.root = element("div", { class: "toolbar", role: "toolbar", "aria-label": "Viewer tools" },
      element("span", { class: "group case" }, this.step, this.title),
      element("span", { class: "group choices" }, ...Object.values(this.modes)),
      element("span", { class: "group" }, this.overlay), this.maskGroup,
      element("span", { class: "group" }, this.windows, this.windowing, this.inverted),
      element("span", { class: "group" }, this.flipH, this.flipV, this.tool("turn", "turn", "Turn by 90°"), this.smooth),
      element("span", { class: "group" }, this.tool("zoomOut", "zoomOut", "Zoom out (−)"), this.tool("fit", "fit", "Fit (=), reset all (Space)"), this.tool("zoomIn", "zoomIn", "Zoom in (+)")),
      element("span", { class: "group end" }, this.tool("full", "full", "Whole screen"), this.tool("help", "help", "Keys and mouse (?)")))
  }

  tool(name, sign, label) {
    return element("button", { type: "button", class: "tool", title: label, "aria-label": label, "data-command": name, onclick: () => this.command(name) }, icon(sign))
  }

  choice(name, words, label) {
    return element("button", { type: "button", class: "tool words", title: label, "data-command": name, onclick: () => this.command(name) }, words)
  }

  offerWindows(windows) {
    this.offered = windows
    const options = windows.map(({ name }, n) => element("option", { value: n }, `${n + 1}  ${name}`))
    this.windows.replaceChildren(...options, element("option", { value: -1, hidden: true }, "By hand"))
  }

  show({ title, mode, groundTruthKnown, state, look, anyMask, steps }) {
    setText(this.title, title)
    this.title.title = title
    this.step.hidden = !steps
    for (const [name, button] of Object.entries(this.modes)) {
      press(button, name === mode)
      button.disabled = !groundTruthKnown
    }
    if (this.offered !== look.windows) this.offerWindows(look.windows)
    press(this.overlay, state.show_overlay)
    press(this.masks, state.show_masks)
    this.maskGroup.hidden = !anyMask
    this.opacity.value = state.mask_opacity
    this.windows.value = look.preset
    for (const name of ["inverted", "windowing", "smooth"]) press(this[name], look[name])
    press(this.flipH, look.view.flipH)
    press(this.flipV, look.view.flipV)
  }
}

function press(button, pressed) {
  button.setAttribute("aria-pressed", String(Boolean(pressed)))
}
