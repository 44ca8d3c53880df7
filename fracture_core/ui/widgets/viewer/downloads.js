/** What can be taken away of a viewer: the shown findings, and the image as it is seen. */

import { bannerOf } from "./banner.js"
import { answerIn } from "./answers.js"
import { cocoOf, drawSheet, fileName, NOTICE, save } from "./exports.js"
import { account } from "./findings.js"
import { legendOf } from "./legend.js"
import { marksOf } from "./parts.js"

export function download(viewer, kind) {
  const pane = viewer.content?.panes[viewer.active]
  if (!pane) return
  if (kind === "coco") {
    const text = JSON.stringify(cocoOf(viewer.content, pane, viewer.settings(viewer.active)), null, 1)
    save(new Blob([text], { type: "application/json" }), fileName(viewer.title, "_findings.json"))
  } else if (viewer.stage.image) {
    sheet(viewer, pane).toBlob((blob) => save(blob, fileName(viewer.title, "_findings.png")))
  }
}

function sheet(viewer, pane) {
  const { active, content, explainer, frame, stage, state, title } = viewer
  const { length } = content.frames
  const map = explainer.mapOf({ model: active })
  const answer = answerIn(pane, viewer.settings(active))
  const slice = length > 1 ? `, slice ${frame + 1} of ${length}` : ""
  return drawSheet(stage.image, {
    window: stage.look.window,
    inverted: stage.look.inverted,
    map: map && { image: map.image, alpha: map.weight * state.map_opacity },
    marks: marksOf(viewer, { model: active, groundTruth: state.show_ground_truth }),
    masks: state.show_masks,
    opacity: state.mask_opacity,
    banner: bannerOf(pane) && `⚠ ${bannerOf(pane)}.`,
    lines: [
      `${title}${slice} · ${pane.title}`,
      ...(answer ? [`${answer.sign} ${answer.words}.`] : []),
      account(pane, viewer.findings[active], viewer.settings(active)),
      ...(pane.measured ? [legendOf(pane.measured).map((line) => line.join(" ")).join(" · ")] : []),
      ...(map ? [map.words] : []),
      NOTICE,
    ],
  })
}
