"""One COCO JSON file, read and checked: images, categories, and objects by image.

A segmentation is polygons, or run lengths plain or compressed. A file without the parts of COCO's
format raises DatasetError; a single invalid object leaves the ground truth of its image unknown.
Crowd regions (`iscrowd`) are no findings.

What is known of an image stands in fields of its entry, `ATTRIBUTES`, or under any name in an
object "attributes", which counts before the fields; see `fracture_core.attributes`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from fracture_core import boxes, masks
from fracture_core.attributes import in_words
from fracture_core.datasets import issues
from fracture_core.datasets.findings import Finding, Outline
from fracture_core.datasets.issues import IssueLog, quoted
from fracture_core.errors import DatasetError
from fracture_core.settings import settings

# ---- segmentations -------------------------------------------------------------------------------


_FORM = "a segmentation of polygons [x1, y1, x2, y2, …] or run lengths that fill the image"


def read_outline(value: object, place: str, size: tuple[int, int] | None) -> Outline | None:
    """Returns what `segmentation` holds, or None where it is absent or empty.

    `size` is (height, width) of the image. Run lengths of another size raise DatasetError, as does
    anything that is neither polygons nor run lengths.

    Example:
        >>> read_outline([[0, 0, 4, 0, 4, 3]], "a.json", None)[0].tolist()
        [[0.0, 0.0], [4.0, 0.0], [4.0, 3.0]]
    """
    if not value:
        return None
    if isinstance(value, list):
        return tuple(_ring(numbers, place) for numbers in value)
    if isinstance(value, dict) and size is not None and value.get("size") == list(size):
        return _code(value.get("counts"), place, *size)
    raise DatasetError(place, expected=_FORM, found=quoted(value))


def bounds_of(outline: Outline) -> npt.NDArray[np.float64]:
    """Returns the corners (4,) float64 xyxy around an outline; all 0 for an empty run-length code.

    Example:
        >>> bounds_of((np.array([[1.0, 2.0], [5.0, 2.0], [5.0, 4.0]]),)).tolist()
        [1.0, 2.0, 5.0, 4.0]
    """
    if not isinstance(outline, masks.Rle):
        points = np.concatenate(outline)
        return np.concatenate([points.min(axis=0), points.max(axis=0)])
    mask = masks.decode(outline)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.zeros(4)
    corners = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    return np.array(corners, dtype=np.float64)


def is_number(value: object) -> TypeGuard[float]:
    """Tells whether a JSON value is a number that float64 can hold; NaN and infinity count."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) < 2**63


def _ring(numbers: Any, place: str) -> npt.NDArray[np.float64]:
    is_ring = isinstance(numbers, list) and len(numbers) >= 6 and len(numbers) % 2 == 0
    if is_ring and all(is_number(number) for number in numbers):
        ring = np.array(numbers, dtype=np.float64).reshape(-1, 2)
        if np.isfinite(ring).all():
            return ring
    raise DatasetError(place, expected=_FORM, found=quoted(numbers))


def _code(counts: Any, place: str, height: int, width: int) -> masks.Rle:
    # The mask coder trusts its input, so run lengths must fill the image before it gets them.
    runs: Any = _decompressed(counts) if isinstance(counts, str) else counts
    is_runs = isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs)
    if is_runs and sum(runs) == height * width:
        return masks.from_counts(runs, height, width)
    raise DatasetError(place, expected=_FORM, found=quoted(counts))


def _decompressed(text: str) -> list[int] | None:
    """Returns the runs of COCO's string: base 32, low digits first, differences from the fourth."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 60:
            return None
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            if digit & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift else runs


# ---- files ---------------------------------------------------------------------------------------


MAX_BYTES = 512 * 2**20
_KEYS = frozenset({"images", "annotations", "categories"})
ATTRIBUTES = (
    "modality",
    "body_part",
    "body part",
    "view",
    "view_position",
    "origin",
    "hardware",
    "age_group",
)
"""Fields of an entry in `images` that are read as attributes."""
_LONGEST_ATTRIBUTE = 200
_Object = Mapping[str, object]


@dataclass(slots=True, kw_only=True)
class CocoImage:
    """An image as the file lists it; `findings` carry category ids, not yet classes.

    `size` is (height, width), or None where the file does not tell · `is_known` is False where an
    object of the image is invalid or nothing was annotated at all · `had_objects` also counts what
    was left out · `flaws` are sentences about invalid objects · `attributes` are what the entry
    tells of the image.
    """

    file_name: str
    size: tuple[int, int] | None
    group_id: str
    is_known: bool = True
    had_objects: bool = False
    findings: list[Finding] = field(default_factory=list)
    flaws: list[str] = field(default_factory=list)
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoFile:
    """What a file holds: `categories` by id, the ids of `headings` that others name as their
    supercategory, and the images.
    """

    path: Path
    categories: Mapping[int, str]
    headings: frozenset[int]
    images: tuple[CocoImage, ...]


def is_coco(path: Path) -> bool:
    """Tells whether a JSON file is meant as COCO.

    An unreadable file counts as one, so that opening it says what is wrong.
    """
    try:
        content = _load(path)
    except DatasetError:
        return True
    return isinstance(content, dict) and len(_KEYS & content.keys()) >= 2


def read_coco(path: Path, name: str, issue_log: IssueLog) -> CocoFile:
    """Reads one file; raises DatasetError where it is not COCO's format as a whole.

    A file without "annotations" is logged, and the ground truth of all its images is unknown.
    """
    content = _load(path)
    if not isinstance(content, dict):
        raise DatasetError(
            path,
            expected="a COCO data set, an object with 'images', 'annotations' and 'categories'",
            found=f"a JSON {_kind(content)}",
        )
    category_entries = _objects(content, "categories", path)
    categories = _categories(category_entries, path)
    images = _images(_objects(content, "images", path), path)
    if "annotations" not in content:
        issue_log.add(issues.NO_ANNOTATIONS, name)
        for image in images.values():
            image.is_known = False
    else:
        for number, entry in enumerate(_objects(content, "annotations", path)):
            place = f"{name} annotation {quoted(entry.get('id', number))}"
            _add_object(entry, place, images, categories, issue_log)
    return CocoFile(
        path=path,
        categories=categories,
        headings=_headings(category_entries),
        images=tuple(images.values()),
    )


def _load(path: Path) -> object:
    if path.stat().st_size > MAX_BYTES:
        raise DatasetError(
            path, expected=f"at most {MAX_BYTES:,} bytes", found=f"{path.stat().st_size:,}"
        )
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DatasetError(path, expected="a COCO JSON file", found="no valid JSON") from error


def _objects(content: Mapping[str, object], key: str, path: Path) -> list[_Object]:
    entries = content.get(key)
    if not isinstance(entries, list):
        found = "no such key" if key not in content else f"a JSON {_kind(entries)}"
        raise DatasetError(path, expected=f"a list '{key}'", found=found)
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DatasetError(
                path, expected=f"an object as {key}[{number}]", found=f"a JSON {_kind(entry)}"
            )
    return entries


def _categories(entries: list[_Object], path: Path) -> Mapping[int, str]:
    categories: dict[int, str] = {}
    for entry in entries:
        id_: Any = entry.get("id")
        name: Any = entry.get("name")
        is_named = isinstance(name, str) and name.isprintable()
        if not _is_whole(id_) or not is_named or categories.get(id_, name) != name:
            raise DatasetError(
                path,
                expected="categories with a number of their own as 'id' and a 'name'",
                found=quoted(dict(entry)),
            )
        categories[id_] = name
    if not categories:
        raise DatasetError(path, expected="at least one category", found="none")
    return categories


def _headings(entries: list[_Object]) -> frozenset[int]:
    heads = {str(each.get("supercategory")) for each in entries if not _heads_itself(each)}
    return frozenset(each["id"] for each in entries if each["name"] in heads)  # type: ignore[misc]


def _heads_itself(entry: _Object) -> bool:
    return entry.get("supercategory") == entry["name"]


def _images(entries: list[_Object], path: Path) -> dict[object, CocoImage]:
    images: dict[object, CocoImage] = {}
    for entry in entries:
        id_, file_name = entry.get("id"), entry.get("file_name")
        if not isinstance(id_, int | str) or not isinstance(file_name, str) or id_ in images:
            raise DatasetError(
                path,
                expected="images with an 'id' of their own and a 'file_name'",
                found=quoted(dict(entry)),
            )
        images[id_] = CocoImage(
            file_name=file_name,
            size=_size(entry, path),
            group_id=_group(entry),
            attributes=_attributes(entry),
        )
    return images


def _size(entry: _Object, path: Path) -> tuple[int, int] | None:
    height: Any = entry.get("height")
    width: Any = entry.get("width")
    if height is None and width is None:
        return None
    is_size = _is_whole(height) and _is_whole(width) and min(height, width) > 0
    if is_size and height * width <= settings().max_pixels:
        return height, width
    raise DatasetError(
        path,
        expected=f"'height' and 'width' of each image, at most {settings().max_pixels:,} pixels",
        found=f"{quoted(height)} and {quoted(width)} for {quoted(entry.get('file_name'))}",
    )


def _group(entry: _Object) -> str:
    for key in ("patient_id", "study_id", "group_id"):
        value = entry.get(key)
        if isinstance(value, int | str) and value != "" and str(value).isprintable():
            return str(value)
    return ""


def _attributes(entry: _Object) -> Mapping[str, str]:
    """Returns texts, numbers and truth values; anything else is no attribute."""
    inner = entry.get("attributes")
    fields = {name: entry[name] for name in ATTRIBUTES if name in entry}
    return in_words(_usable(fields)) | in_words(_usable(inner))


def _usable(told: object) -> dict[str, object]:
    if not isinstance(told, dict):
        return {}
    return {
        name: value
        for name, value in told.items()
        if isinstance(value, str | int | float)
        and str(value).isprintable()
        and max(len(name), len(str(value))) <= _LONGEST_ATTRIBUTE
    }


def _add_object(
    entry: _Object,
    place: str,
    images: Mapping[object, CocoImage],
    categories: Mapping[int, str],
    issue_log: IssueLog,
) -> None:
    image_id = entry.get("image_id")
    image = images.get(image_id) if isinstance(image_id, int | str) else None
    if image is None:
        issue_log.add("Annotations of images the file does not list, left out", place)
        return
    image.had_objects = True
    if entry.get("iscrowd"):
        issue_log.add("Crowd regions (iscrowd), no findings, left out", place)
        return
    try:
        image.findings.append(_finding(entry, place, image, categories))
    except DatasetError as error:
        image.is_known = False
        image.flaws.append(str(error).rstrip("."))


def _finding(
    entry: _Object, place: str, image: CocoImage, categories: Mapping[int, str]
) -> Finding:
    label = entry.get("category_id")
    if not _is_whole(label) or label not in categories:
        raise DatasetError(place, expected="a category the file lists", found=quoted(label))
    outline = read_outline(entry.get("segmentation"), place, image.size)
    bbox = entry.get("bbox")
    if bbox is None and outline is not None:
        return Finding(label=label, xyxy=bounds_of(outline), place=place, outline=outline)
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(is_number, bbox)):
        raise DatasetError(place, expected="a bbox [x, y, width, height]", found=quoted(bbox))
    with np.errstate(invalid="ignore"):
        xyxy = boxes.xywh_to_xyxy(np.array([bbox], dtype=np.float64))[0]
    return Finding(label=label, xyxy=xyxy.astype(np.float64), place=place, outline=outline)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31


def _kind(value: object) -> str:
    names = {dict: "object", list: "list", str: "text", type(None): "null", bool: "truth value"}
    return names.get(type(value), "number")
