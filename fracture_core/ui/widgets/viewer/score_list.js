/** What a classifier predicts, in its pane: its best classes, each with a score and a bar. */

import { element } from "./elements.js"

const MOST = 5

export function scoreList(classes, scores) {
  const order = scores.map((score, label) => ({ score, label })).sort((a, b) => b.score - a.score)
  const line = ({ score, label }) => {
    const name = classes[label] ?? `class ${label}`
    const root = element("div", { class: "score-line" }, element("span", { title: name }, name), element("span", {}, score.toFixed(2)))
    root.style.setProperty("--share", `${100 * score}%`)
    return root
  }
  const more = order.length - MOST
  const rest = more > 0 ? element("div", { class: "score-rest" }, `and ${more} more ${more === 1 ? "class" : "classes"}`) : null
  return element("div", { class: "pane-scores", "aria-label": "Class scores" }, ...order.slice(0, MOST).map(line), ...(rest ? [rest] : []))
}
