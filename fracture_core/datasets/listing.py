"""`python -m fracture_core formats`: what can be read and written, and what could not be loaded."""

from fracture_core.datasets.formats import installed


def as_text() -> str:
    """A line a format, then a sentence for each of another package that is broken."""
    found = installed()
    width = max(map(len, found.formats))
    lines = [
        f"{each.name:<{width}}  {'read and written' if each.write else 'read':<16}  {each.title}"
        for each in found.formats.values()
    ]
    if found.broken:
        lines += ["", "Cannot be used", *(f"  {sentence}" for sentence in found.broken)]
    return "\n".join(lines)
