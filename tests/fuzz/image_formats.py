"""The image and data set formats that are tried, small files of each made on the fly."""

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

import h5py
import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless

from fracture_core.datasets import open_dataset
from fracture_core.datasets.hdf5 import Slice, write_rsna
from fracture_core.imaging.opening import open_image
from fracture_core.imaging.png import SIGNATURE
from fracture_core.settings import settings
from tests.fuzz.formats import Change, Format
from tests.support.dicom_files import as_file, dataset, enhanced_ct, ramp
from tests.support.jpeg_streams import EXTENDED

# What an image of the limit takes is far below what a mutant may take.
_MAX_PIXELS = 10_000_000
_SIDE = 48

Make = Callable[[Path], Path]


def _open_image(path: Path) -> str:
    _limit_pixels()
    image = open_image(path)
    told = repr((image.pixels.shape, image.windows, image.scale, image.spacing_mm))
    return _digest([told.encode(), image.pixels.tobytes()])


def _open_data_set(path: Path) -> str:
    """All samples; where one is refused, so is the whole."""
    _limit_pixels()
    opened = open_dataset(path)
    parts = [repr((opened.classes, opened.ids)).encode()]
    for sample_id in opened.ids:
        sample = opened[sample_id]
        told = (sample.group_id, sample.split, sample.image_class, sample.ground_truth)
        parts += [repr(told).encode(), sample.pixels.tobytes()]
    return _digest(parts)


def _limit_pixels() -> None:
    os.environ["FRACTURE_MAX_PIXELS"] = str(_MAX_PIXELS)
    settings.cache_clear()


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _noise(dtype: str = "uint8") -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, top, (_SIDE, _SIDE), dtype=dtype)


def _saved(kind: str, dtype: str = "uint8", mode: str = "", **options: object) -> Make:
    def make(folder: Path) -> Path:
        image = Image.fromarray(_noise(dtype))
        path = folder / f"image.{kind.lower()}"
        (image.convert(mode) if mode else image).save(path, kind, **options)
        return path

    return make


def _dicom(made: Callable[[], bytes]) -> Make:
    def make(folder: Path) -> Path:
        path = folder / "image.dcm"
        path.write_bytes(made())
        return path

    return make


def _plain() -> bytes:
    return as_file(dataset(ramp(), bits=12, WindowCenter=500, WindowWidth=900))


def _deflated() -> bytes:
    return as_file(dataset(ramp(), bits=12), DeflatedExplicitVRLittleEndian)


def _rle() -> bytes:
    made = dataset(np.stack([ramp(), ramp().T]), bits=12)
    made.compress(RLELossless)
    return as_file(made, RLELossless)


def _jpeg_12_bits() -> bytes:
    made = dataset(ramp(), bits=12)
    made.PixelData = encapsulate([EXTENDED])
    made["PixelData"].is_undefined_length = True
    return as_file(made, UID("1.2.840.10008.1.2.4.51"))


def _of_pydicom(name: str) -> Callable[[], bytes]:
    def made() -> bytes:
        read = dcmread(get_testdata_file(name, download=False))
        return as_file(read, UID(str(read.file_meta.TransferSyntaxUID)))

    return made


def _stack() -> bytes:
    return enhanced_ct([0.0, 1.0, 2.0], [1.0] * 3, [-1024.0] * 3)


def _slices() -> list[Slice]:
    rng = np.random.default_rng(0)
    boxes = np.array([[5, 6, 17, 28], [20, 20, 40, 44]], np.float32)
    return [
        Slice(
            image=rng.random((_SIDE, _SIDE), dtype=np.float32),
            xyxy=boxes[: row % 3],
            fractured=row % 3 > 0,
            split=("train", "val", "test")[row % 3],
            study=f"1.2.{row}",
            number=str(row),
        )
        for row in range(6)
    ]


def _rsna(folder: Path) -> Path:
    path = folder / "slices.h5"
    write_rsna(_slices(), path, attributes={"body part": "neck"})
    return path


def _rsna_without_checksums(folder: Path) -> Path:
    """As others write it."""
    source, path = _rsna(folder), folder / "plain.h5"
    with h5py.File(source) as checked, h5py.File(path, "w") as plain:
        for key, array in checked.items():
            kind = h5py.string_dtype() if array.dtype.kind == "S" else array.dtype
            plain.create_dataset(key, data=array[()], dtype=kind)
    source.unlink()
    return path


def _coco(folder: Path) -> Path:
    for number in (1, 2):
        Image.fromarray(_noise()).save(folder / f"{number}.png")
    size = {"height": _SIDE, "width": _SIDE}
    corners = [5, 5, 30, 6, 20, 40]
    runs = {"counts": [100, 20, 28, 20, _SIDE**2 - 168], "size": [_SIDE, _SIDE]}
    shared = {"category_id": 1, "iscrowd": 0}
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", **size} for n in (1, 2)],
        "categories": [{"id": 1, "name": "fracture", "supercategory": "none"}],
        "annotations": [
            {"id": 1, "image_id": 1, "bbox": [10, 20, 30.5, 10], "area": 305, **shared},
            {"id": 2, "image_id": 1, "segmentation": [corners], **shared},
            {"id": 3, "image_id": 2, "segmentation": runs, **shared},
        ],
    }
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _yolo(folder: Path) -> Path:
    for split in ("train", "valid"):
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        Image.fromarray(_noise()).save(folder / split / "images" / "1.jpg")
        label = "0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.9 0.1 0.5 0.8\n"
        (folder / split / "labels" / "1.txt").write_text(label, encoding="utf-8")
    told = "path: .\ntrain: train/images\nval: valid/images\nnc: 2\nnames: [wrist, elbow]\n"
    (folder / "data.yaml").write_text(told, encoding="utf-8")
    return folder


def _voc(folder: Path) -> Path:
    for kind in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / kind).mkdir(parents=True)
    Image.fromarray(_noise()).save(folder / "JPEGImages" / "1.jpg")
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
    size = f"<size><width>{_SIDE}</width><height>{_SIDE}</height><depth>1</depth></size>"
    told = f"<annotation>{size}<object><name>wrist</name>{box}</object></annotation>"
    (folder / "Annotations" / "1.xml").write_text(told, encoding="utf-8")
    (folder / "ImageSets" / "Main" / "train.txt").write_text("1\n", encoding="utf-8")
    return folder


def _reseal_png(data: bytes, change: Change) -> bytes:
    """One chunk changed, and given the right length and checksum."""
    chunks, at = [], len(SIGNATURE)
    while at < len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        chunks.append(data[at + 4 : end])
        at = end + 4
    number = Random(change(bytes(16))).randrange(len(chunks))
    chunks[number] = change(chunks[number]).ljust(4, b"a")
    packed = (
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )
    return SIGNATURE + b"".join(packed)


def _reseal_deflated(data: bytes, change: Change) -> bytes:
    """The data set changed, and deflated anew."""
    start = 144 + int.from_bytes(data[140:144], "little")
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    changed = change(zlib.decompress(data[start:], -zlib.MAX_WBITS))
    return data[:start] + packer.compress(changed) + packer.flush()


def _of_image(
    make: Make,
    reseal: Callable[[bytes, Change], bytes] | None = None,
    *,
    has_check_sums: bool = False,
) -> Format:
    def warm(folder: Path) -> Path:
        path = make(folder)
        # Opened here once, so that not every fork has to import the decoders.
        _open_image(path)
        return path

    return Format(make=warm, open=_open_image, reseal=reseal, has_check_sums=has_check_sums)


def _of_data_set(make: Make, *, has_check_sums: bool = False) -> Format:
    return Format(make=make, open=_open_data_set, has_check_sums=has_check_sums)


IMAGE_FORMATS: dict[str, Format] = {
    "png-16": _of_image(_saved("PNG", "uint16"), _reseal_png, has_check_sums=True),
    "png-palette": _of_image(_saved("PNG", mode="P"), _reseal_png, has_check_sums=True),
    "jpeg": _of_image(_saved("JPEG", quality=90)),
    "jpeg-progressive": _of_image(_saved("JPEG", mode="RGB", progressive=True)),
    "jpeg-restarts": _of_image(_saved("JPEG", restart_marker_blocks=4)),
    "tiff": _of_image(_saved("TIFF", "uint16")),
    "tiff-deflated": _of_image(_saved("TIFF", compression="tiff_adobe_deflate")),
    "tiff-lzw": _of_image(_saved("TIFF", compression="tiff_lzw")),
    "dicom": _of_image(_dicom(_plain)),
    "dicom-deflated": _of_image(_dicom(_deflated), _reseal_deflated),
    "dicom-stack": _of_image(_dicom(_stack)),
    "dicom-rle": _of_image(_dicom(_rle)),
    "dicom-jpeg-12": _of_image(_dicom(_jpeg_12_bits)),
    "dicom-jpeg-ls": _of_image(_dicom(_of_pydicom("MR_small_jpeg_ls_lossless.dcm"))),
    "dicom-jpeg-2000": _of_image(_dicom(_of_pydicom("MR_small_jp2klossless.dcm"))),
    "hdf5": _of_data_set(_rsna, has_check_sums=True),
    "hdf5-plain": _of_data_set(_rsna_without_checksums),
    "coco": _of_data_set(_coco),
    "yolo": _of_data_set(_yolo),
    "voc": _of_data_set(_voc),
}
