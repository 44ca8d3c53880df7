/** What the panes of a comparison share: settings for all or one set a model, and lacking marks. */

import { element } from "./elements.js"

export class Sharing {
  /** `actions`: toggleOwn(), toggleLacking(). */
  constructor({ toggleOwn, toggleLacking }) {
    this.own = element("input", { type: "checkbox", onchange: toggleOwn })
    this.lacking = element("input", { type: "checkbox", onchange: toggleLacking })
    this.root = element("div", { class: "sharing", hidden: true },
      element("label", { class: "check", title: "Each model keeps its own confidence and NMS IoU; the sliders act on the chosen one" }, this.own, "own thresholds"),
      element("label", { class: "check", title: "Faint corners where other models found something and this one did not (L)" }, this.lacking, "mark what is lacking"))
  }

  show({ own, show_lacking: lacking }) {
    this.own.checked = own.length > 0
    this.lacking.checked = lacking
  }
}
