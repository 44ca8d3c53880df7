"""One annotation file of Pascal VOC, as the development kit of the VOC challenge describes it.

    <annotation>
      <filename>a.jpg</filename>
      <size><width>640</width><height>480</height><depth>1</depth></size>
      <object><name>fracture</name><difficult>0</difficult>
        <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></object>
    </annotation>

Pixels are counted from 1 and a box includes its last ones: xmin 1 and xmax 20 are the first 20
columns, which are 0 to 20 here. A file is not trusted: nothing that it declares is expanded.
"""

from dataclasses import dataclass
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from fracture_core.datasets.issues import quoted
from fracture_core.errors import DatasetError
from fracture_core.settings import settings

MAX_BYTES = 4 * 2**20
_MAX_DEPTH = 16
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VocObject:
    """One <object>. `xyxy` is (4,) float64 in pixels counted from 0, its right and lower edge
    exclusive · `place` is in words, such as "Annotations/a.xml object 2".
    """

    name: str
    xyxy: npt.NDArray[np.float64]
    is_difficult: bool
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VocFile:
    """What a file says. `size` is (height, width) in pixels, or None where it tells none ·
    `file_name` is "" where it tells none.
    """

    file_name: str
    size: tuple[int, int] | None
    objects: tuple[VocObject, ...]


def parse_voc(content: bytes, name: str) -> VocFile:
    """Reads the content of a file; raises DatasetError, which names the file and what is wrong."""
    root = _parse(content, name)
    if root.tag != "annotation":
        raise DatasetError(name, expected="an <annotation>", found=f"<{root.tag[:40]}>")
    return VocFile(
        file_name=_text(root, "filename"),
        size=_size(root, name),
        objects=tuple(
            _object(each, f"{name} object {number}")
            for number, each in enumerate(root.findall("object"), start=1)
        ),
    )


def _parse(content: bytes, name: str) -> Element:
    builder, depth = TreeBuilder(), 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise DatasetError(name, expected="annotations of Pascal VOC", found="nested elements")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*declared: object) -> None:
        raise DatasetError(name, expected="XML without declarations of its own", found="a DOCTYPE")

    parser = expat.ParserCreate()
    # Entities can only be declared inside a DOCTYPE: without one there is nothing to expand.
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(content, True)
    # An unknown encoding raises LookupError, one with several bytes for a letter ValueError.
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise DatasetError(name, expected="XML", found=str(error)[:80]) from error
    return builder.close()


def _size(root: Element, name: str) -> tuple[int, int] | None:
    size = root.find("size")
    if size is None:
        return None
    width, height = (_number(size, key, f"{name} size") for key in ("width", "height"))
    if width == height == 0:
        # Some annotation tools write 0 for what they do not know.
        return None
    most = settings().max_pixels
    if width % 1 or height % 1 or min(width, height) < 1 or width * height > most:
        raise DatasetError(
            name,
            expected=f"a width and height of at most {most:,} pixels",
            found=f"{width:g} and {height:g}",
        )
    return int(height), int(width)


def _object(element: Element, place: str) -> VocObject:
    name, box = _text(element, "name"), element.find("bndbox")
    if not name or not name.isprintable():
        raise DatasetError(place, expected="a <name>", found=quoted(name) if name else "none")
    if box is None:
        raise DatasetError(place, expected="a <bndbox>", found="none")
    xmin, ymin, xmax, ymax = (_number(box, key, place) for key in _CORNERS)
    return VocObject(
        name=name,
        xyxy=np.array([xmin - 1, ymin - 1, xmax, ymax], dtype=np.float64),
        is_difficult=_text(element, "difficult") == "1",
        place=place,
    )


def _number(element: Element, key: str, place: str) -> float:
    text = _text(element, key)
    try:
        # Python reads 1_000 as a number; other tools do not.
        return float(text.replace("_", "?"))
    except ValueError as error:
        found = quoted(text) if text else "none"
        raise DatasetError(place, expected=f"a number as <{key}>", found=found) from error


def _text(element: Element, key: str) -> str:
    return (element.findtext(key) or "").strip()
