"""Samples as images: whole ones with what was found, cut-outs, and heat maps over them."""

import io
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from fracture_core.drawing.boxes import Corners, DrawnBox, draw_boxes
from fracture_core.drawing.colours import VIEWER, Palette, heat_table
from fracture_core.masks import Rle, decode
from fracture_core.types import Heatmap, Sample

# ---- whole images --------------------------------------------------------------------------------

_MASK_STRENGTH = 90
Rgb = Image.Image


def draw_sample(
    sample: Sample,
    boxes: Sequence[DrawnBox] = (),
    masks: Sequence[tuple[Rle, str]] = (),
    *,
    side_px: int,
    enlarge: bool = False,
    palette: Palette = VIEWER,
    most_tags: int = 40,
) -> Rgb:
    """Return the image as shown, its longer side at most `side_px`, with boxes and tinted masks.

    Boxes and masks are in pixels of the sample; each mask comes with its kind. With `enlarge`
    smaller images are made that large as well.
    """
    image = Image.fromarray(sample.shown()).convert("RGB")
    scale = side_px / max(image.size)
    scale = scale if enlarge else min(1.0, scale)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.BILINEAR)
    for code, kind in masks:
        _tint(image, code, palette.colours[kind])
    placed = [DrawnBox(xyxy=_scaled(box.xyxy, scale), kind=box.kind, tag=box.tag) for box in boxes]
    draw_boxes(image, placed, palette=palette, most_tags=most_tags)
    return image


def _scaled(at: Corners, scale: float) -> Corners:
    x1, y1, x2, y2 = at
    return x1 * scale, y1 * scale, x2 * scale, y2 * scale


def _tint(image: Rgb, code: Rle, colour: str) -> None:
    mask = Image.fromarray(decode(code).astype(np.uint8) * _MASK_STRENGTH)
    strength = mask.resize(image.size, Image.Resampling.BILINEAR)
    image.paste(Image.new("RGB", image.size, colour), mask=strength)


# ---- cut-outs ------------------------------------------------------------------------------------

CUT_WIDTH_PX, CUT_HEIGHT_PX = 400, 300
# How much of the surroundings is shown, as a multiple of the box, and at least of the image.
_AROUND, _LEAST_SHARE = 2.4, 0.3
_LEAST_SIDE_PX = 48.0


def draw_cut_out(sample: Sample, boxes: Sequence[DrawnBox], focus: Sequence[int]) -> Rgb:
    """Return 400 × 300 px around the boxes in `focus`, or the whole image without any."""
    window = window_around([boxes[i].xyxy for i in focus], sample.height, sample.width)
    left, top, right, bottom = (round(edge) for edge in window)
    image = Image.fromarray(sample.shown()).crop((left, top, right, bottom))
    size = (CUT_WIDTH_PX, CUT_HEIGHT_PX)
    image = image.resize(size, Image.Resampling.BILINEAR).convert("RGB")
    scale = (CUT_WIDTH_PX / (right - left), CUT_HEIGHT_PX / (bottom - top))
    placed = [
        DrawnBox(xyxy=_placed(box.xyxy, left, top, scale), kind=box.kind, tag=box.tag)
        for box in boxes
    ]
    draw_boxes(image, placed, focus=focus)
    return image


def window_around(focus: Sequence[Corners], height: int, width: int) -> Corners:
    """Return the cut-out, 4 : 3: the boxes with surroundings, inside the image if that is larger.

    Without boxes it is the least that holds the whole image.
    """
    across, down = float(width), float(height)
    x, y = across / 2, down / 2
    if focus:
        x1, y1 = min(box[0] for box in focus), min(box[1] for box in focus)
        x2, y2 = max(box[2] for box in focus), max(box[3] for box in focus)
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        least = max(_LEAST_SIDE_PX, _LEAST_SHARE * max(height, width))
        across, down = max(_AROUND * (x2 - x1), least), max(_AROUND * (y2 - y1), least * 0.75)
    across = max(across, down * CUT_WIDTH_PX / CUT_HEIGHT_PX)
    down = across * CUT_HEIGHT_PX / CUT_WIDTH_PX
    left, top = _inside(x - across / 2, across, width), _inside(y - down / 2, down, height)
    return left, top, left + across, top + down


def _placed(xyxy: Corners, left: float, top: float, scale: tuple[float, float]) -> Corners:
    x1, y1, x2, y2 = xyxy
    across, down = scale
    return (x1 - left) * across, (y1 - top) * down, (x2 - left) * across, (y2 - top) * down


def _inside(start: float, length: float, whole: int) -> float:
    """Moved into the image, or centred on it where it is longer."""
    if length >= whole:
        return (whole - length) / 2
    return min(max(start, 0.0), whole - length)


# ---- heat maps -----------------------------------------------------------------------------------

_HEAT_OPACITY = 0.6


def draw_heat_map(image: Rgb, heatmap: Heatmap, *, weight: float = 1.0) -> Rgb:
    """Return an image of the whole sample with a heat map over it, spread to the image's size.

    `weight` in [0, 1] is how strongly it is drawn, so that weak evidence can look weak.
    """
    colours, opaque = _heat_table()
    levels = Image.fromarray(np.rint(heatmap.values * 255).astype(np.uint8))
    at = np.asarray(levels.resize(image.size, Image.Resampling.BILINEAR))
    share = (opaque[at] * _HEAT_OPACITY * min(max(weight, 0.0), 1.0))[..., None]
    mixed = np.asarray(image, dtype=np.float32) * (1 - share) + colours[at] * share
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


@lru_cache(maxsize=1)
def _heat_table() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    return heat_table()


# ---- files ---------------------------------------------------------------------------------------


def jpeg_bytes(image: Rgb) -> bytes:
    """Return an image as a JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()
