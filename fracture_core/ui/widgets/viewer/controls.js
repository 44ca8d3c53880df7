/** The settings that decide what is shown: three sliders, each with a number, and the match rule. */

import { Dial } from "./dial.js"
import { element } from "./elements.js"
import { NumberSlider } from "./number_slider.js"

/** All settings of the column; `change(part)` during, `commit()` after. */
export class Controls {
  constructor({ change, commit, chooseUnit }) {
    const slider = (name, label, help) =>
      new NumberSlider({ name, label, help, onInput: (value) => change({ [name]: value }), onCommit: commit })
    this.dial = new Dial({ change, commit, chooseUnit })
    this.nms = slider("nms_iou", "NMS IoU", "Of candidates of one class that overlap more than this, only the best is shown; 1 merges none")
    this.match = slider("match_iou", "Match IoU", "How much a finding must overlap a ground-truth box to count as a match; changes the judgement, never what is shown")
    const set = (part) => {
      change(part)
      commit()
    }
    const chooseRule = () => {
      this.rule.blur()
      set({ rule: this.rule.value })
    }
    this.rule = element("select", { "aria-label": "Match rule", onchange: chooseRule },
      element("option", { value: "iou" }, "by IoU"),
      element("option", { value: "centre" }, "centre inside ground truth"))
    this.classAware = element("input", { type: "checkbox", onchange: () => set({ class_aware: this.classAware.checked }) })
    this.sameClass = element("label", { class: "check", title: "Only findings of the ground truth's class can match it" }, this.classAware, "same class")
    this.how = element("div", { class: "how" }, element("span", {}, "Match"), this.rule, this.sameClass)
    this.root = element("section", { class: "controls", "aria-label": "Settings" }, this.dial.root, this.nms.root, this.match.root, this.how)
  }

  /** `state` is the active pane's of `panes`; a classifier alone has nothing but the dial. */
  show(state, { panes, active, needsNms, judged, comparable }) {
    const boxes = panes.length > 1 || panes[active].task !== "classify"
    this.nms.root.hidden = this.match.root.hidden = this.how.hidden = !boxes
    this.dial.show(state, panes, active)
    this.nms.show(state.nms_iou)
    this.match.show(state.match_iou)
    this.rule.value = state.rule
    this.classAware.checked = state.class_aware && comparable
    this.classAware.disabled = !comparable
    this.sameClass.title = comparable ? "Only findings of the ground truth's class can match it" : "The model and the ground truth have different classes, so classes are not compared"
    this.nms.enable(needsNms, needsNms ? "" : "Not needed: this model proposes each finding once.")
    const byCentre = state.rule === "centre"
    this.match.enable(judged && !byCentre, !judged ? "No ground truth to match with." : byCentre ? "Not used: the centre decides." : "")
  }
}
