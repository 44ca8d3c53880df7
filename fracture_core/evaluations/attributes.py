"""What is known of an evaluation's images in words, and whether the model was made for them.

Attributes are columns, one entry an image or lesion, and subgroups are made of them. Where an image
shows several body parts or views, "hand, shoulder", the group is "mixed"; what nobody told is the
group "not told". A lesion's size is the long side of its box, in mm where the image tells how large
its pixels are, and as a share of the image's long side; both in bands.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fracture_core.attributes import several
from fracture_core.datasets.attributes import MOST_VALUES
from fracture_core.errors import ConfigError
from fracture_core.evaluations.array_files import Array, texts_of, texts_to_arrays
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s
from fracture_core.scope import Scope, check_scope
from fracture_core.types import Int64s

# ---- scope ---------------------------------------------------------------------------------------

_MOST_SENTENCES = 3
NOT_RECORDED = (
    "Nothing tells whether this model was made for images like these: the evaluation is from "
    "before that was recorded."
)


class ScopeCounts(BaseModel):
    """How many images lie inside and outside a model's scope, and of how many nothing tells.

    `sentences` say why, the most frequent first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inside: int = Field(ge=0)
    outside: int = Field(ge=0)
    unknown: int = Field(ge=0)
    sentences: tuple[str, ...] = ()


def count_scope(scope: Scope | None, told: Iterable[Mapping[str, str]]) -> ScopeCounts:
    """Count images, one mapping of attributes each, by how they stand to the model's scope."""
    checks = [check_scope(scope, attributes) for attributes in told]
    standings = Counter(check.standing for check in checks)
    sentences = Counter(check.sentence for check in checks if check.sentence)
    return ScopeCounts(
        inside=standings["inside"],
        outside=standings["outside"],
        unknown=standings["unknown"],
        sentences=tuple(sentence for sentence, _ in sentences.most_common(_MOST_SENTENCES)),
    )


def banner_of(counts: ScopeCounts | None) -> str:
    """Return the warning that stands above every metric, "" where all images lie inside the scope.

    None stands for an evaluation from before scopes were recorded.

    Example:
        >>> banner_of(ScopeCounts(inside=2, outside=0, unknown=0))
        ''
    """
    if counts is None:
        return NOT_RECORDED
    if not (counts.outside or counts.unknown):
        return ""
    images = counts.inside + counts.outside + counts.unknown
    parts = []
    if counts.outside:
        parts.append(f"{counts.outside:,} of {images:,} images lie outside what this model is for")
    if counts.unknown:
        parts.append(f"of {counts.unknown:,} of {images:,} images nothing tells whether they do")
    words = "; ".join(parts)
    return f"{words[0].upper()}{words[1:]}. {'. '.join(counts.sentences)}."


# ---- attributes ----------------------------------------------------------------------------------

NOT_TOLD, MIXED = "not told", "mixed"
SIZE_MM, SIZE_SHARE = "lesion size in mm", "lesion size, share of the image"
MM_BANDS = (10.0, 20.0, 40.0)
SHARE_BANDS = (0.05, 0.1, 0.2)
_MAY_BE_SEVERAL = ("body part", "view")
ARRAYS = {
    "attribute_name_lengths": ("<i4", 1),
    "attribute_names": ("|u1", 1),
    "attribute_value_counts": ("<i4", 1),
    "attribute_value_lengths": ("<i4", 1),
    "attribute_values": ("|u1", 1),
    "attribute_codes": ("<i4", 2),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One thing that is known of N images or lesions.

    `codes` (N,) int64 are positions in `values`, −1 = not told.
    """

    name: str
    values: tuple[str, ...]
    codes: Int64s
    of: Literal["image", "lesion"] = "image"

    @classmethod
    def from_texts(cls, name: str, texts: Sequence[str]) -> Self:
        """Make an attribute of one text each, "" = not told; its values are sorted.

        Example:
            >>> Attribute.from_texts("view", ["lateral", "", "frontal"]).codes.tolist()
            [1, -1, 0]
        """
        values = tuple(sorted(set(texts) - {""}))
        place = {value: k for k, value in enumerate(values)} | {"": -1}
        return cls(
            name=name,
            values=values,
            codes=np.array([place[text] for text in texts], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.codes)

    def only(self, kept: Bools) -> Self:
        """Return the attribute of the marked (N,) images or lesions."""
        return replace(self, codes=self.codes[kept])

    @property
    def groups(self) -> tuple[str, ...]:
        """The values that occur, and "not told" where something is not told."""
        held = [value for k, value in enumerate(self.values) if (self.codes == k).any()]
        return (*held, *([NOT_TOLD] if (self.codes < 0).any() else []))

    def of_group(self, group: str) -> Bools:
        """(N,) whether each is in one of `groups`; False throughout for another name."""
        code = -1 if group == NOT_TOLD else _position(self.values, group)
        marks: Bools = self.codes == code
        return marks


def attributes_of(told: Sequence[Mapping[str, str]]) -> tuple[Attribute, ...]:
    """Return the attributes of images from one mapping each, in order of first occurrence."""
    names = dict.fromkeys(name for each in told for name in each)
    return tuple(
        Attribute.from_texts(name, [each.get(name, "") for each in told]) for name in names
    )


def grouping(attributes: Sequence[Attribute]) -> tuple[tuple[Attribute, ...], tuple[str, ...]]:
    """Return the attributes that make subgroups, and a sentence about each with too many values.

    Several body parts or views in one image become "mixed". An attribute that is the same
    everywhere makes no subgroups and is left out.
    """
    offered, sentences = [], []
    for each in map(_with_mixed, attributes):
        count = len(each.groups)
        if count > MOST_VALUES + 1:
            sentences.append(
                f"No subgroups by {each.name}: expected at most {MOST_VALUES} values, found "
                f"{count:,}."
            )
        elif count > 1:
            offered.append(each)
    return tuple(offered), tuple(sentences)


def lesion_sizes(
    ground_truths: DetectionTable, sizes_px: Int64s | None, spacing_mm: Float64s | None
) -> tuple[Attribute, ...]:
    """Return bands of the size of each of (M,) ground truths: in mm, and as a share of the image.

    `sizes_px` and `spacing_mm` (I, 2) are of the images, as in `Evaluation`; a size that needs what
    is None or nan everywhere is left out.
    """
    sides = (ground_truths.xyxy[:, 2:] - ground_truths.xyxy[:, :2]).astype(np.float64)
    found = []
    if spacing_mm is not None:
        # Spacing is given as rows, columns; sides are x, y.
        long_mm = (sides * spacing_mm[ground_truths.image][:, ::-1]).max(axis=1, initial=0)
        if np.isfinite(long_mm).any():
            found.append(_banded(SIZE_MM, long_mm, MM_BANDS, "{:g} mm"))
    if sizes_px is not None:
        share = sides.max(axis=1, initial=0) / sizes_px[ground_truths.image].max(axis=1)
        found.append(_banded(SIZE_SHARE, share, SHARE_BANDS, "{:.0%}"))
    return tuple(found)


def to_arrays(attributes: Sequence[Attribute], count: int) -> dict[str, Array]:
    """Return the arrays that the attributes of `count` images are stored as, by name."""
    names, name_lengths = texts_to_arrays([each.name for each in attributes])
    values, value_lengths = texts_to_arrays([value for each in attributes for value in each.values])
    codes = [each.codes for each in attributes]
    return {
        "attribute_name_lengths": name_lengths,
        "attribute_names": names,
        "attribute_value_counts": np.array([len(each.values) for each in attributes], dtype="<i4"),
        "attribute_value_lengths": value_lengths,
        "attribute_values": values,
        "attribute_codes": np.array(codes, dtype="<i4").reshape(len(codes), count),
    }


def from_arrays(path: Path, arrays: Mapping[str, Array], count: int) -> tuple[Attribute, ...]:
    """Return the attributes from stored arrays; raises ConfigError if not of `count` images."""
    names = texts_of(path, arrays["attribute_name_lengths"], arrays["attribute_names"])
    values = texts_of(path, arrays["attribute_value_lengths"], arrays["attribute_values"])
    counts, codes = arrays["attribute_value_counts"].astype(np.int64), arrays["attribute_codes"]
    fits = len(counts) == len(names) and (counts >= 0).all() and counts.sum() == len(values)
    if not fits or codes.shape != (len(names), count):
        expected = f"attributes of {count} images"
        raise ConfigError(path, expected=expected, found=f"codes of shape {codes.shape}")
    if (codes < -1).any() or (codes >= counts[:, None]).any():
        raise ConfigError(path, expected="codes of attributes below their number", found="others")
    ends = np.cumsum(counts)
    return tuple(
        Attribute(name=name, values=values[end - n : end], codes=codes[k].astype(np.int64))
        for k, (name, n, end) in enumerate(zip(names, counts.tolist(), ends.tolist(), strict=True))
    )


def _position(values: tuple[str, ...], value: str) -> int:
    return values.index(value) if value in values else len(values)


def _with_mixed(attribute: Attribute) -> Attribute:
    if attribute.name not in _MAY_BE_SEVERAL:
        return attribute
    words = [MIXED if len(several(value)) > 1 else value for value in attribute.values] + [""]
    return Attribute.from_texts(attribute.name, [words[code] for code in attribute.codes])


def _banded(name: str, values: Float64s, edges: Sequence[float], how: str) -> Attribute:
    """A band holds its lower edge and not its upper one; what is not finite is not told."""
    words = [how.format(edge) for edge in edges]
    names = (
        f"below {words[0]}",
        *(f"{low} to {high}" for low, high in pairwise(words)),
        f"{words[-1]} and more",
    )
    codes = np.searchsorted(np.asarray(edges), values, side="right").astype(np.int64)
    codes[~np.isfinite(values)] = -1
    return Attribute(name=name, values=names, codes=codes, of="lesion")
