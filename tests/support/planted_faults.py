"""A demo data set with one fault of every kind, and which images each was planted in."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

Planted = dict[str, set[str]]


def plant_in_yolo(clean: Path, folder: Path) -> Planted:
    """Faults in a copy of a YOLO demo set; check → sample ids."""
    shutil.copytree(clean, folder)
    train = _images(folder, "train")
    val = _images(folder, "valid")
    full = [each for each in train if _label(folder, each).stat().st_size]
    empty = [each for each in train if each not in full]
    planted: Planted = {}

    def plant(check: str, image: str, act: Callable[[Path], object]) -> None:
        act(folder / image if check in {"unreadable", "blank"} else _label(folder, image))
        planted.setdefault(check, set()).add(image)

    plant("unreadable", empty[0], lambda path: path.write_bytes(path.read_bytes()[:500]))
    plant("unreadable", empty[1], lambda path: path.write_bytes(b""))
    plant("blank", empty[7], _blackened)
    plant("labels-missing", empty[2], Path.unlink)
    plant("labels-unreadable", empty[3], lambda path: path.write_text("0 a b c d\n"))
    plant("boxes-degenerate", full[0], _adding("0 0.5 0.5 0.1 0\n"))
    plant("boxes-degenerate", full[1], _adding("0 0.5 nan 0.1 0.1\n"))
    plant("boxes-outside", full[2], _adding("0 1.5 0.5 0.1 0.1\n"))
    plant("boxes-cut", full[3], _adding("0 0.95 0.5 0.2 0.1\n"))
    plant("objects-small", full[4], _adding("0 0.5 0.5 0.002 0.1\n"))

    # Names that say nothing: what finds these copies has to see them.
    planted["duplicates-across"] = {_copied(folder, val[0], "train/images/again.png")}
    planted["duplicates-within"] = {_copied(folder, empty[4], "train/images/twice.png")}
    planted["look-alikes-across"] = {_copied(folder, val[1], "train/images/tilted.png", _tilted)}
    planted["look-alikes-within"] = {_copied(folder, empty[5], "train/images/turned.png", _turned)}
    source = Path(empty[6]).stem.split(".rf.")[0]
    planted["stems-across"] = {
        _copied(folder, empty[6], f"valid/images/{source}.rf.0.png", _unlike)
    }

    data = folder / "data.yaml"
    text = data.read_text().replace("nc: 5", "nc: 7").rstrip() + "\n- Healthy\n- phantom\n"
    data.write_text(text)
    _adding("5 0.5 0.5 0.2 0.2\n")(_label(folder, full[5]))
    return planted


def _blackened(path: Path) -> None:
    """All black but for a mark of six pixels, and so not one grey alone."""
    with Image.open(path) as opened:
        black = Image.new("L", opened.size)
    black.paste(200, (2, 2, 5, 4))
    black.save(path)


def plant_in_coco(clean: Path, folder: Path) -> Planted:
    """Faults that only COCO can have, in a copy of a COCO demo set with YOLO labels beside it."""
    shutil.copytree(clean, folder)
    paths = {split: folder / "annotations" / f"{split}.json" for split in ("train", "val")}
    files = {split: json.loads(path.read_text()) for split, path in paths.items()}
    for file in files.values():
        file["categories"] = [{**each, "supercategory": "bones"} for each in file["categories"]]
        file["categories"].append({"id": 9, "name": "bones", "supercategory": "none"})
    patient = files["train"]["images"][0]["patient_id"]
    files["val"]["images"][0]["patient_id"] = patient
    emptied = files["train"]["annotations"][0]["image_id"]
    own = [each for each in files["train"]["annotations"] if each["image_id"] != emptied]
    [name] = [each["file_name"] for each in files["train"]["images"] if each["id"] == emptied]
    (folder / "train" / name).with_suffix(".txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (folder / "data.yaml").write_text("train: train\nnames: [a]\n")
    files["train"]["annotations"] = own
    for split, path in paths.items():
        path.write_text(json.dumps(files[split]))
    return {
        "groups-across": {f"val/{files['val']['images'][0]['file_name']}"},
        "labels-emptied": {f"train/{name}"},
    }


def _images(folder: Path, split: str) -> list[str]:
    """One of each patient: no image plays a part in two faults."""
    first: dict[str, str] = {}
    for path in sorted((folder / split / "images").iterdir()):
        first.setdefault(path.name.split(".rf.")[0], path.relative_to(folder).as_posix())
    return list(first.values())


def _label(folder: Path, image: str) -> Path:
    return (folder / image.replace("/images/", "/labels/")).with_suffix(".txt")


def _adding(line: str) -> Callable[[Path], object]:
    """Boxes only: a file of both kinds of line is read as polygons elsewhere."""
    return lambda path: path.write_text(path.read_text() + line)


def _copied(
    folder: Path,
    image: str,
    name: str,
    altered: Callable[[np.ndarray], np.ndarray] = lambda grey: grey,
) -> str:
    grey = np.asarray(Image.open(folder / image))
    Image.fromarray(altered(grey)).save(folder / name)
    shutil.copy(_label(folder, image), _label(folder, name))
    return name


def _tilted(grey: np.ndarray) -> np.ndarray:
    """Mirrored, turned by 12° and brightened."""
    height, width = grey.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 12, 1)
    turned = cv2.warpAffine(np.ascontiguousarray(grey[:, ::-1]), matrix, (width, height))
    return np.clip(turned * 1.2 + 5, 0, 255).astype(np.uint8)


def _turned(grey: np.ndarray) -> np.ndarray:
    """Upside down and darker."""
    return (np.ascontiguousarray(grey[::-1]) * 0.8).astype(np.uint8)


def _unlike(grey: np.ndarray) -> np.ndarray:
    """Another image of this size: noise with structure."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 255, (9, 7)).astype(np.uint8)
    return cv2.resize(coarse, grey.shape[::-1], interpolation=cv2.INTER_CUBIC)
