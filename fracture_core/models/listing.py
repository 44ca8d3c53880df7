"""The families there are and the models of the library, for people and for programs."""

from pydantic import BaseModel

from fracture_core.models.cards import ModelCard
from fracture_core.models.families import installed
from fracture_core.models.library import read_library


class Listing(BaseModel):
    """`broken` says of each unusable folder, and of each unusable package, what is wrong."""

    families: tuple[str, ...]
    models: tuple[ModelCard, ...]
    broken: tuple[str, ...]


def listing() -> Listing:
    """What the library holds now."""
    library, found = read_library(), installed()
    return Listing(
        families=tuple(found.families),
        models=library.cards,
        broken=(*(str(error) for error in library.broken), *found.broken),
    )


def as_text(found: Listing) -> str:
    """Two short tables."""
    lines = ["Families", *(f"  {name}" for name in found.families), "", "Models"]
    width = max(len(card.model_id) for card in found.models)
    for card in found.models:
        facts = f"{card.family}, {card.task}, {len(card.classes)} classes, {card.input_size} px"
        lines.append(f"  {card.model_id:<{width}}  {facts}  {card.title}")
    if found.broken:
        lines += ["", "Cannot be used", *(f"  {sentence}" for sentence in found.broken)]
    return "\n".join(lines)
