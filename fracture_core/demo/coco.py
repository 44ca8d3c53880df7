"""COCO: `train/ val/ test/` of 16-bit PNG files and a JSON file a split in `annotations/`."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from fracture_core.datasets.splits import NAMES
from fracture_core.datasets.writers.coco import add_picture, as_objects, empty_file
from fracture_core.datasets.writers.items import findings_of
from fracture_core.datasets.writers.png import write_png
from fracture_core.demo.depth import spread
from fracture_core.types import Detections, Sample


def write(samples: Iterable[Sample], classes: Sequence[str], folder: Path) -> None:
    """Masks as run-length codes; `patient_id` of a picture is its group."""
    files = {split: empty_file(classes) for split in NAMES}
    for split in NAMES:
        (folder / split).mkdir(parents=True)
    for number, sample in enumerate(samples, start=1):
        name = f"{sample.sample_id.replace('/', '-')}.png"
        write_png(spread(sample.pixels), folder / sample.split / name)
        entry = {
            "id": number,
            "file_name": name,
            "height": sample.height,
            "width": sample.width,
            "patient_id": sample.group_id,
            "attributes": dict(sample.attributes),
        }
        found = findings_of(sample.truth or Detections.empty())
        add_picture(files[sample.split], entry, as_objects(found))
    (folder / "annotations").mkdir()
    for split, content in files.items():
        path = folder / "annotations" / f"{split}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
