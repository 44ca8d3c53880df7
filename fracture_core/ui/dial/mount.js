// The only script that travels with the page: it fetches the dial's modules by URL and hands over.
const cleanups = new WeakMap()

export default function (component) {
  const { parentElement } = component
  const [data] = component.data
  const loaded = import(new URL(data.module, window.location.origin).href)
  loaded.then(
    (dial) => cleanups.set(parentElement, dial.mount({ ...component, data })),
    (error) => {
      const note = document.createElement("p")
      note.textContent = `The dial could not be loaded (${error.message}). Reload the page.`
      parentElement.append(note)
    },
  )
  return () => loaded.then(() => cleanups.get(parentElement)?.())
}
