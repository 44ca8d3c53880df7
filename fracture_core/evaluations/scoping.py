"""Whether a model was made for the images it was evaluated on: counted, and said in a sentence."""

from collections import Counter
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field

from fracture_core.scope import Scope, check_scope

_MOST_SENTENCES = 3
NOT_RECORDED = (
    "Nothing tells whether this model was made for images like these: the evaluation is from "
    "before that was recorded."
)


class ScopeCounts(BaseModel):
    """How many images lie inside and outside a model's scope, and of how many nothing tells;
    `sentences` say why, the most frequent first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inside: int = Field(ge=0)
    outside: int = Field(ge=0)
    unknown: int = Field(ge=0)
    sentences: tuple[str, ...] = ()


def count_scope(scope: Scope | None, told: Iterable[Mapping[str, str]]) -> ScopeCounts:
    """Of images with these attributes."""
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
    """What stands above every metric, "" where all images lie inside; None = not recorded."""
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
