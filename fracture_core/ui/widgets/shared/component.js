/** A component's half of the handshake; the other half is fracture_core/ui/widgets/component.py. */

/** The `mount` of a class: one instance under each root, to which new data go by `receive`. */
export function mountOf(Part) {
  const parts = new WeakMap()
  return (component) => {
    const { parentElement } = component
    const part = parts.get(parentElement) ?? new Part(parentElement)
    parts.set(parentElement, part)
    part.receive(component)
    return () => {
      parts.delete(parentElement)
      part.close()
    }
  }
}

/** Who changed the state last: the page forces one by a new number, the reader's is reported. */
export class Handshake {
  /** The state that the page asks for, null where it asks for nothing new. */
  asked({ id, state }) {
    if (id === this.id) return null
    this.id = id
    this.told = JSON.stringify(state)
    return { ...state }
  }

  /** Tell Python of a completed change, and only where something differs; `more` goes along. */
  tell(component, state, more = {}) {
    const text = JSON.stringify(state)
    if (text === this.told) return
    this.told = text
    component.setStateValue("state", { ...state, ...more })
  }
}
