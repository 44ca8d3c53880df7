"""A case: what the reader has before them, one image or a stack of slices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from fracture_core.attributes import common
from fracture_core.types import Sample

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset
    from fracture_core.imaging.image import MedicalImage


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`key` names the content: equal keys, equal pixels and ground truth · `samples` are its frames
    in order · `classes` name the labels of the ground truth · `warnings` are sentences for the
    reader · `is_upload`: no data set tells of it.
    """

    key: str
    title: str
    samples: tuple[Sample, ...]
    classes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    is_upload: bool = False

    @property
    def attributes(self) -> dict[str, str]:
        """What is known of all frames alike."""
        return common(sample.attributes for sample in self.samples)

    @property
    def notes(self) -> tuple[str, ...]:
        """What sources say of it that contradicts each other."""
        return tuple(dict.fromkeys(note for sample in self.samples for note in sample.notes))

    @property
    def heading(self) -> str:
        """The title without folders."""
        return self.title.rpartition("/")[2]

    @classmethod
    def of_image(cls, image: "MedicalImage") -> Self:
        """An uploaded image or DICOM series; its ground truth is unknown."""
        return cls(
            key=f"{image.name}:{image.sha256}",
            title=image.name,
            samples=image.samples(),
            warnings=image.warnings,
            is_upload=True,
        )

    @classmethod
    def of_dataset(cls, dataset: "Dataset", sample_ids: Sequence[str], title: str) -> Self:
        """One sample of a data set, or the slices of one study."""
        stamp = dataset.path.stat().st_mtime_ns
        return cls(
            key=f"{dataset.path}:{stamp}:{title}",
            title=title,
            samples=tuple(dataset[sample_id] for sample_id in sample_ids),
            classes=dataset.classes,
        )
