/** Plotly, which this server carries; each URL is fetched once a page. */

const loads = new Map()

/** Its global object; rejects where it cannot be loaded. */
export function plotlyOf(url) {
  if (!loads.has(url)) {
    loads.set(
      url,
      new Promise((resolve, reject) => {
        const script = document.createElement("script")
        script.src = new URL(url, window.location.origin).href
        script.onload = () => resolve(window.Plotly)
        script.onerror = () => reject(new Error("Plotly could not be loaded"))
        document.head.append(script)
      }),
    )
  }
  return loads.get(url)
}
