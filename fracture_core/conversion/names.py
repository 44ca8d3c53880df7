"""Names of pictures in a target: safe as file names, unique, and telling the group where it can.

A source is not trusted: an HDF5 file may call a study "../..".
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fracture_core.conversion.items import Item
from fracture_core.datasets.layout import PICTURE_SUFFIXES, SPLIT_NAMES, group_of

_FOLDERS_WITHOUT_MEANING = frozenset({"images", "labels", "data", *SPLIT_NAMES})
_STRANGE = re.compile(r"[^\w .+@=,()&'-]")
_MAX_BYTES = 150
_MAX_TEXT = 256


def name_items(items: Iterable[Item], to: str) -> Iterator[Item]:
    """The items with the names they get in a target; a group gets another where it has to."""
    taken: set[tuple[str, ...]] = set()
    for item in items:
        named = _named(item, to)
        # File systems that do not tell A from a must not lose a picture.
        place = (named.group_id if to == "hdf5" else item.split, named.name.casefold())
        if place in taken:
            named = replace(named, name=_another(named, to))
            place = (place[0], named.name.casefold())
        taken.add(place)
        yield named


def stem_of(sample_id: str) -> str:
    """The path without suffix and without folders that only name a split or "images"."""
    *folders, last = sample_id.split("/")
    stem, dot, suffix = last.rpartition(".")
    last = stem if stem and f"{dot}{suffix}".lower() in PICTURE_SUFFIXES else last
    kept = [part for part in folders if part.lower() not in _FOLDERS_WITHOUT_MEANING]
    return "/".join([*kept, last])


def safe_path(text: str) -> str:
    """A text as a relative path; each part that cannot be a file name gets another, unique one."""
    return "/".join(_safe_part(part) for part in text.split("/"))


def _safe_part(part: str) -> str:
    clean = _STRANGE.sub("_", part).strip(" .")
    if part and clean == part and len(part.encode()) <= _MAX_BYTES:
        return part
    return f"{clean.encode()[:60].decode(errors='ignore')}-{_digest(part)}".lstrip("-")


def _named(item: Item, to: str) -> Item:
    stem = stem_of(item.sample_id)
    if to == "coco":
        return replace(item, name=safe_path(stem))
    if to == "hdf5":
        group, number = _text(item.group_id), _text(_remainder(stem, item.group_id) or stem)
        return replace(item, group_id=group, name=number)
    if safe_path(stem) == stem and _group_told_by(stem) == item.group_id:
        return replace(item, name=stem)
    group = safe_path(item.group_id)
    group = group if _group_told_by(f"{group}.rf.0") == group else _digest(item.group_id)
    rest = _remainder(stem, item.group_id)
    tail = rest if rest.isascii() and rest.isalnum() else _digest(item.sample_id)
    return replace(item, group_id=group, name=f"{group}.rf.{tail}")


def _group_told_by(stem: str) -> str:
    return group_of(f"{stem}.png")


def _remainder(stem: str, group: str) -> str:
    """What follows the group in a name, "" where the name is not led by it."""
    rest = stem.removeprefix(group)
    if rest == stem:
        return ""
    return re.sub(r"^(/|-|\.rf\.)", "", rest)


def _another(item: Item, to: str) -> str:
    digest = _digest(f"{item.split}/{item.sample_id}")
    if to == "yolo":
        return f"{item.group_id}.rf.{digest}"
    return f"{item.name[: _MAX_TEXT - 20]}-{digest}"


def _text(text: str) -> str:
    return text if text.isprintable() and 0 < len(text) <= _MAX_TEXT else _digest(text)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
