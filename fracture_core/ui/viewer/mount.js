// The only script that travels with the page: it fetches the viewer's modules by URL and hands
// over, so that a changed case never sends the program again.
const cleanups = new WeakMap()

export default function (component) {
  const { parentElement } = component
  const [data] = component.data
  const loaded = import(new URL(data.module, window.location.origin).href)
  loaded.then(
    (viewer) => cleanups.set(parentElement, viewer.mount({ ...component, data })),
    (error) => {
      const note = document.createElement("p")
      note.textContent = `The viewer could not be loaded (${error.message}). Reload the page.`
      parentElement.append(note)
    },
  )
  return () => loaded.then(() => cleanups.get(parentElement)?.())
}
