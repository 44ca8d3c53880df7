"""Pascal VOC as it is written: boxes alone, classes known by their objects, pictures of 8 bits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from fracture_core.datasets.findings import Finding
from fracture_core.datasets.tally import counted, quoted
from fracture_core.datasets.voc import ANNOTATIONS, LISTS, PICTURES
from fracture_core.datasets.writers.base import (
    Array,
    Limit,
    Places,
    Row,
    Writer,
    lost_image_classes,
    note,
    without_outlines,
)
from fracture_core.datasets.writers.items import Findings, Item
from fracture_core.datasets.writers.names import another_name_by_group, name_by_group
from fracture_core.datasets.writers.png import write_png
from fracture_core.errors import DatasetError
from fracture_core.types import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class VocWriter(Writer):
    """`JPEGImages/….png`, `Annotations/….xml`, none = unknown truth, and `ImageSets/Main`."""

    def limits(
        self, items: Sequence[Item], classes: Sequence[str], drop: frozenset[str]
    ) -> list[Limit]:
        _refuse_strange(classes)
        findings = [each for item in items for each in item.findings or ()]
        found = []
        if outlined := sum(each.outline is not None for each in findings):
            found.append(
                note(f"{counted(outlined, 'mask')} left out: Pascal VOC holds boxes only.")
            )
        used = {each.label for each in findings}
        if unused := [quoted(name) for label, name in enumerate(classes) if label not in used]:
            sentence = f"Classes without a box are not kept: {', '.join(unused[:12])}."
            found.append(note(sentence))
        return found + lost_image_classes(items)

    def within(
        self, items: Sequence[Item], classes: Sequence[str], drop: frozenset[str]
    ) -> tuple[list[Item], tuple[str, ...]]:
        return without_outlines(items), tuple(classes)

    def named(self, item: Item) -> Item:
        return name_by_group(item)

    def renamed(self, item: Item) -> Item:
        return another_name_by_group(item)

    def place(self, item: Item) -> str:
        # Pictures of all splits lie in one folder.
        return ""

    def pixels(self, sample: Sample) -> Array:
        return sample.shown()

    def write(self, item: Item, pixels: Array, findings: Findings | None, places: Places) -> Row:
        picture = places.result / PICTURES / f"{item.name}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        write_png(pixels, picture)
        height, width = pixels.shape
        size = {"width": str(width), "height": str(height), "depth": "1"}
        objects = None if findings is None else [_object(each) for each in findings]
        return {"split": item.split, "name": item.name, "size": size, "objects": objects}

    def finish(self, rows: Iterable[Row], classes: Sequence[str], places: Places) -> None:
        lists: dict[str, list[str]] = {}
        (places.result / ANNOTATIONS).mkdir(exist_ok=True)
        for row in rows:
            if row["split"]:
                lists.setdefault(row["split"], []).append(row["name"])
            if row["objects"] is not None:
                path = places.result / ANNOTATIONS / f"{row['name']}.xml"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_annotation(row, classes))
        (places.result / LISTS).mkdir(parents=True, exist_ok=True)
        for split, names in lists.items():
            text = "".join(f"{name}\n" for name in names)
            (places.result / LISTS / f"{split}.txt").write_text(text, encoding="utf-8")


def _refuse_strange(classes: Sequence[str]) -> None:
    """XML has no letter for control codes, and spaces around a name are lost."""
    for name in classes:
        if not name.isprintable() or name != name.strip() or not name:
            raise DatasetError(
                "classes", expected="names that Pascal VOC can hold", found=quoted(name)
            )


def _object(finding: Finding) -> Row:
    """Pixels are counted from 1 and a box holds its last ones, so only its first corner moves."""
    x1, y1, x2, y2 = (float(side) for side in finding.xyxy)
    corners = {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": x2, "ymax": y2}
    return {
        "label": finding.label,
        "box": {key: f"{value:.4f}".rstrip("0").rstrip(".") for key, value in corners.items()},
    }


def _annotation(row: Row, classes: Sequence[str]) -> bytes:
    root = Element("annotation")
    SubElement(root, "filename").text = f"{row['name']}.png"
    _add(root, "size", row["size"])
    for each in row["objects"]:
        entry = _add(root, "object", {"name": classes[each["label"]], "difficult": "0"})
        _add(entry, "bndbox", each["box"])
    indent(root)
    content: bytes = tostring(root, encoding="utf-8")
    return content


def _add(parent: Element, tag: str, texts: dict[str, str]) -> Element:
    element = SubElement(parent, tag)
    for key, text in texts.items():
        SubElement(element, key).text = text
    return element
