/** Candidates by score, drawn behind the confidence slider. */

import { element } from "./elements.js"

const BINS = 50

/** Heights are square roots of counts. */
export class Histogram {
  constructor() {
    this.root = element("canvas", { class: "histogram", width: 200, height: 22, "aria-hidden": "true" })
    this.counts = new Float64Array(BINS)
  }

  fill(scores) {
    this.counts.fill(0)
    this.colour = getComputedStyle(this.root).color
    for (const score of scores) this.counts[Math.min(Math.floor(score * BINS), BINS - 1)]++
  }

  draw(confidence) {
    const context = this.root.getContext("2d")
    const { width, height } = this.root
    const tallest = Math.sqrt(Math.max(...this.counts, 1))
    context.clearRect(0, 0, width, height)
    context.fillStyle = this.colour
    this.counts.forEach((count, n) => {
      if (!count) return
      const tall = Math.max(2, (Math.sqrt(count) / tallest) * height)
      context.globalAlpha = (n + 1) / BINS > confidence ? 0.8 : 0.3
      context.fillRect((n * width) / BINS, height - tall, width / BINS - 1, tall)
    })
  }
}
