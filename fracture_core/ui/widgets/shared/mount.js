// The only script that travels with the page: it fetches a component's modules by URL and hands
// over, so that changed data never send the program again.
const cleanups = new WeakMap()

export default function (component) {
  const { parentElement } = component
  const [data] = component.data
  const loaded = import(new URL(data.module, window.location.origin).href)
  loaded.then(
    (part) => cleanups.set(parentElement, part.mount({ ...component, data })),
    (error) => {
      const note = document.createElement("p")
      note.textContent = `This part of the page could not be loaded (${error.message}). Reload the page.`
      parentElement.append(note)
    },
  )
  return () => loaded.then(() => cleanups.get(parentElement)?.())
}
