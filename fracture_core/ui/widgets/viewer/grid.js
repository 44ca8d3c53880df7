/** How many panes stand side by side so that the image is as large as it can be. */

export function columnsFor(count, size, frame, turns) {
  if (count < 3) return count
  const [width, height] = turns % 2 ? [frame.height, frame.width] : [frame.width, frame.height]
  let best = 2
  let bestScale = 0
  for (let columns = 2; columns <= count; columns++) {
    const rows = Math.ceil(count / columns)
    const scale = Math.min(size.width / columns / width, size.height / rows / height)
    if (scale > bestScale) [best, bestScale] = [columns, scale]
  }
  return best
}
