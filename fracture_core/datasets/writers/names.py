"""Names of pictures in a target: safe as file names, unique, and telling the group where it can.

A source is not trusted: an HDF5 file may call a study "../..".
"""

import hashlib
import re
from dataclasses import replace

from fracture_core.datasets.layout import FOLDERS_WITHOUT_MEANING, PICTURE_SUFFIXES, group_of
from fracture_core.datasets.writers.items import Item

_STRANGE = re.compile(r"[^\w .+@=,()&'-]")
_MAX_BYTES = 150


def stem_of(sample_id: str) -> str:
    """The path without suffix and without folders that only name a split or "images"."""
    *folders, last = sample_id.split("/")
    stem, dot, suffix = last.rpartition(".")
    last = stem if stem and f"{dot}{suffix}".lower() in PICTURE_SUFFIXES else last
    kept = [part for part in folders if part.lower() not in FOLDERS_WITHOUT_MEANING]
    return "/".join([*kept, last])


def safe_path(text: str) -> str:
    """A text as a relative path; each part that cannot be a file name gets another, unique one."""
    return "/".join(_safe_part(part) for part in text.split("/"))


def _safe_part(part: str) -> str:
    clean = _STRANGE.sub("_", part).strip(" .")
    if part and clean == part and len(part.encode()) <= _MAX_BYTES:
        return part
    return f"{clean.encode()[:60].decode(errors='ignore')}-{digest(part)}".lstrip("-")


def name_by_group(item: Item) -> Item:
    """The item under a name that tells its group, for layouts that have no other word for it.

    A name that tells it already stays; others become `<group>.rf.<rest>`, see `group_of`.
    """
    stem = stem_of(item.sample_id)
    if safe_path(stem) == stem and _group_told_by(stem) == item.group_id:
        return replace(item, name=stem)
    group = safe_path(item.group_id)
    group = group if _group_told_by(f"{group}.rf.0") == group else digest(item.group_id)
    rest = told_remainder(stem, item.group_id)
    tail = rest if rest.isascii() and rest.isalnum() else digest(item.sample_id)
    return replace(item, group_id=group, name=f"{group}.rf.{tail}")


def another_name_by_group(item: Item) -> Item:
    """A named item under another name of its group, which no other picture of the source gets."""
    return replace(item, name=f"{item.group_id}.rf.{another_digest(item)}")


def another_digest(item: Item) -> str:
    """What tells this picture from all others of its source."""
    return digest(f"{item.split}/{item.sample_id}")


def _group_told_by(stem: str) -> str:
    return group_of(f"{stem}.png")


def told_remainder(stem: str, group: str) -> str:
    """What follows the group in a name, "" where the name is not led by it."""
    rest = stem.removeprefix(group)
    if rest == stem:
        return ""
    return re.sub(r"^(/|-|\.rf\.)", "", rest)


def digest(text: str) -> str:
    """16 hexadecimal digits that stand for any text."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
