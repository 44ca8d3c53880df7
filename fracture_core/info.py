"""What the commands `info` and `models` print about images, data sets, families and models."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel

from fracture_core.datasets import Dataset, is_dataset, open_dataset
from fracture_core.errors import BadInput, ImageError
from fracture_core.imaging.image import MedicalImage
from fracture_core.imaging.opening import open_image
from fracture_core.models.cards import ModelCard
from fracture_core.models.families import installed
from fracture_core.models.library import read_library

Line = dict[str, object]


def print_info(paths: Sequence[Path], out: TextIO) -> int:
    """Write one JSON line for each image or data set and return how many could not be read.

    A folder that is no data set stands for the files in it. What cannot be read gets a line with
    its path and an "error" sentence, and the others still follow.
    """
    errors = 0
    for path in paths:
        for line in _lines(path):
            errors += "error" in line
            # Flushed, so that a program that reads a long list sees each line at once.
            print(json.dumps(line, allow_nan=False), file=out, flush=True)
    return errors


def _lines(path: Path) -> Iterator[Line]:
    try:
        if not path.exists():
            raise ImageError(path, expected="an image or data set", found="no such file")
        if is_dataset(path):
            yield _dataset_line(path, open_dataset(path))
        elif path.is_dir():
            yield from _folder_lines(path)
        else:
            yield _image_line(path, open_image(path, path.name))
    except BadInput as error:
        yield {"path": str(path), "error": str(error)}
    except OSError as error:
        reason = error.strerror or type(error).__name__
        sentence = str(ImageError(path, expected="a file that can be read", found=reason))
        yield {"path": str(path), "error": sentence}


def _folder_lines(folder: Path) -> Iterator[Line]:
    files = sorted(
        path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")
    )
    if not files:
        raise ImageError(folder, expected="a data set or images", found="a folder without any")
    for path in files:
        yield from _lines(path)


def _image_line(path: Path, image: MedicalImage) -> Line:
    return {
        "path": str(path),
        "kind": "image",
        "size": {"width": image.width, "height": image.height},
        "frames": image.frames,
        "bits": image.bits,
        "photometric": image.photometric,
        "spacing_mm": image.spacing_mm,
        "sha256": image.sha256,
        "warnings": image.warnings,
    }


def _dataset_line(path: Path, dataset: Dataset) -> Line:
    return {
        "path": str(path),
        "kind": "dataset",
        "format": dataset.format,
        "found": dataset.found,
        "classes": dataset.classes,
        "counts": {split: asdict(counts) for split, counts in dataset.summary().items()},
        "warnings": dataset.warnings,
    }


class Listing(BaseModel):
    """The model families and the models of the library.

    `broken` holds one sentence about each model folder and each package that cannot be used.
    """

    families: tuple[str, ...]
    models: tuple[ModelCard, ...]
    broken: tuple[str, ...]


def listing() -> Listing:
    """List what is installed and what the library holds now."""
    library, found = read_library(), installed()
    return Listing(
        families=tuple(found.families),
        models=library.cards,
        broken=(*(str(error) for error in library.broken), *found.broken),
    )


def as_text(found: Listing) -> str:
    """Return the listing as two short tables, and what cannot be used below them."""
    lines = ["Families", *(f"  {name}" for name in found.families), "", "Models"]
    width = max(len(card.model_id) for card in found.models)
    for card in found.models:
        facts = f"{card.family}, {card.task}, {len(card.classes)} classes, {card.input_size} px"
        lines.append(f"  {card.model_id:<{width}}  {facts}  {card.title}")
    if found.broken:
        lines += ["", "Cannot be used", *(f"  {sentence}" for sentence in found.broken)]
    return "\n".join(lines)
