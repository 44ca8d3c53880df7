"""The scope of a model, that is the images it was made for, and whether an image lies within it.

Body parts, modalities and views are in the words of `fracture_core.attributes`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fracture_core.attributes import body_part, is_part_of, kind_of, modality, several, view

Origin = Literal["real", "synthetic"]
Standing = Literal["inside", "outside", "unknown"]
# The kinds of image that a model without a stated scope reads; others wait until the reader agrees.
_READ = frozenset({"radiograph", "CT"})


class Scope(BaseModel):
    """The images that a model was trained on.

    `modalities` are DICOM's codes · `views` empty = any · `origins` real, synthetic or both ·
    `age_group` "" = not known. What is given in other words is turned into those of
    `fracture_core.attributes`; pydantic's ValidationError is raised where a part is missing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    modalities: tuple[str, ...] = Field(min_length=1)
    body_parts: tuple[str, ...] = Field(min_length=1)
    views: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = Field(min_length=1)
    age_group: str = ""

    @field_validator("modalities")
    @classmethod
    def _codes(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(modality(each) for each in given)

    @field_validator("body_parts")
    @classmethod
    def _regions(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(body_part(each) for each in given)

    @field_validator("views")
    @classmethod
    def _projections(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(view(each) for each in given)


SYNTHETIC = Scope(
    modalities=("CR", "DX"),
    body_parts=("finger", "hand", "wrist", "forearm", "ankle", "lower leg"),
    views=("frontal",),
    origins=("synthetic",),
)
"""The scope of models that were trained on the radiographs that this package draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeCheck:
    """Whether an image lies within a scope.

    `sentence` is what the banner says, "" when inside · with `held_back` no prediction is made
    until the reader asks for it.
    """

    standing: Standing
    sentence: str
    held_back: bool


def scope_of_images(told: Iterable[Mapping[str, str]]) -> Scope | None:
    """Return the scope of a model that is trained on images with these attributes.

    None where there is no image or one does not tell its modality or body part. Views are stated
    where all images tell them, an age group where all tell the same.
    """
    images = list(told)
    known = [image for image in images if image.get("modality") and image.get("body part")]
    if not images or len(known) < len(images):
        return None
    views = _told(images, "view") if all(image.get("view") for image in images) else ()
    ages = {image.get("age group", "") for image in images}
    return Scope(
        modalities=_told(images, "modality"),
        body_parts=_told(images, "body part"),
        views=views,
        origins=tuple(sorted({_origin(image) for image in images})),
        age_group=ages.pop() if len(ages) == 1 else "",
    )


def shared_scope(scopes: Sequence[Scope | None]) -> Scope | None:
    """Return the scope of images that lie within all of several scopes.

    None where no image does, there is no scope, or one of them is not stated (None).
    """
    stated = [scope for scope in scopes if scope is not None]
    if not stated or len(stated) < len(scopes):
        return None
    views = [set(scope.views) for scope in stated if scope.views]
    shared_views = set.intersection(*views) if views else set()
    modalities = set.intersection(*(set(scope.modalities) for scope in stated))
    origins = set.intersection(*(set(scope.origins) for scope in stated))
    parts = {
        part
        for part in {each for scope in stated for each in scope.body_parts}
        if all(any(is_part_of(part, whole) for whole in scope.body_parts) for scope in stated)
    }
    if not (modalities and parts and origins) or (views and not shared_views):
        return None
    ages = {scope.age_group for scope in stated}
    return Scope(
        modalities=tuple(sorted(modalities)),
        body_parts=tuple(sorted(parts)),
        views=tuple(sorted(shared_views)),
        origins=tuple(sorted(origins)),
        age_group=ages.pop() if len(ages) == 1 else "",
    )


def scope_words(scope: Scope | None) -> str:
    """Return a scope as one line for a page or a terminal, such as "CR · wrist · real"."""
    if scope is None:
        return "not stated"
    groups = (scope.modalities, scope.body_parts, scope.views, scope.origins)
    words = [", ".join(group) for group in groups if group]
    return " · ".join([*words, *filter(None, [scope.age_group])])


def _told(images: Sequence[Mapping[str, str]], key: str) -> tuple[str, ...]:
    return tuple(sorted({each for image in images for each in several(image[key])}))


def _origin(attributes: Mapping[str, str]) -> Origin:
    """Only synthetic images say that they are."""
    return "synthetic" if attributes.get("origin") == "synthetic" else "real"


INSIDE = ScopeCheck(standing="inside", sentence="", held_back=False)


def check_scope(scope: Scope | None, attributes: Mapping[str, str]) -> ScopeCheck:
    """Check whether an image with these attributes lies in a model's scope, None = not stated.

    Only synthetic images tell their origin: one that does not counts as real. A view or an age
    group that is not told is no reason for doubt; a modality or body part is.

    Example:
        >>> scope = Scope(modalities=("CR",), body_parts=("wrist",), origins=("real",))
        >>> check_scope(scope, {"modality": "MG"}).sentence
        'This model has never seen images like this: MG (mammogram)'
    """
    code = modality_of(attributes)
    if scope is None:
        return _not_stated(code)
    strange = list(_strange(scope, code, attributes))
    if strange:
        return ScopeCheck(
            standing="outside",
            sentence=f"This model has never seen images like this: {', '.join(strange)}",
            held_back=bool(code) and not _knows(scope, code),
        )
    if lacking := _lacking(scope, code, attributes):
        return ScopeCheck(standing="unknown", sentence=lacking, held_back=False)
    return INSIDE


def modality_of(attributes: Mapping[str, str]) -> str:
    """Return DICOM's code of the modality, "" = not told.

    A radiograph of teeth or jaws counts as a panoramic one and one of a breast as a mammogram,
    whatever machine it is from.
    """
    code = attributes.get("modality", "")
    parts = several(attributes.get("body part", ""))
    if kind_of(code) == "radiograph" and parts:
        if all(is_part_of(part, "jaw") for part in parts):
            return "PX"
        if "breast" in parts:
            return "MG"
    return code


def _not_stated(code: str) -> ScopeCheck:
    strange = bool(code) and kind_of(code) not in _READ
    told = f": {_named(code)}" if strange else ""
    return ScopeCheck(
        standing="unknown",
        sentence=f"The scope of this model is not stated: nothing tells whether it was made for "
        f"images like this{told}",
        held_back=strange,
    )


def _strange(scope: Scope, code: str, attributes: Mapping[str, str]) -> Iterable[str]:
    if code and not _knows(scope, code):
        yield _named(code)
    for part in several(attributes.get("body part", "")):
        if not any(is_part_of(part, each) or is_part_of(each, part) for each in scope.body_parts):
            yield part
    for seen in several(attributes.get("view", "")):
        if scope.views and seen not in scope.views:
            yield f"{seen} view"
    if (origin := _origin(attributes)) not in scope.origins:
        yield f"{origin} (it was trained on {' and '.join(scope.origins)} images alone)"
    age = attributes.get("age group", "")
    if age and scope.age_group and age != scope.age_group:
        yield f"age group {age}"


def _lacking(scope: Scope, code: str, attributes: Mapping[str, str]) -> str:
    parts = several(attributes.get("body part", ""))
    vague = [part for part in parts if not any(is_part_of(part, each) for each in scope.body_parts)]
    if not code and not parts:
        return "Nothing tells what this image shows: neither kind of image nor body part is known"
    if not code:
        return "Nothing tells what this image shows: the kind of image is not known"
    if not parts:
        return "Nothing tells what this image shows: the body part is not known"
    if vague:
        made_for = ", ".join(scope.body_parts)
        return (
            f"Nothing tells what this image shows: {', '.join(vague)} may be more than this model "
            f"has seen ({made_for})"
        )
    return ""


def _knows(scope: Scope, code: str) -> bool:
    return any(kind_of(code) == kind_of(each) for each in scope.modalities)


def _named(code: str) -> str:
    kind = kind_of(code)
    return code if kind == code else f"{code} ({kind})"
