"""CT slices in the RSNA layout; see `conversion.rsna_file`."""

from collections.abc import Iterable
from pathlib import Path

from fracture_core.datasets.writers.rsna_file import Slice, normed, write_rsna
from fracture_core.demo.samples import CT_ATTRIBUTES
from fracture_core.types import Detections, Sample


def write(samples: Iterable[Sample], path: Path, *, corners: bool) -> None:
    """Boxes as xywh padded with −1, or where `corners` as xyxy padded with 0."""
    write_rsna(map(_as_slice, samples), path, attributes=CT_ATTRIBUTES, corners=corners)


def _as_slice(sample: Sample) -> Slice:
    truth = sample.truth or Detections.empty()
    return Slice(
        image=normed(sample.pixels),
        xyxy=truth.xyxy,
        fractured=len(truth) > 0,
        split=sample.split,
        study=sample.group_id,
        number=sample.sample_id.rpartition("/")[2],
    )
