"""An image with a model's findings drawn into it, as a PNG."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fracture_core import masks
from fracture_core.types import Detections

COLOUR = "#e8ecef"
_MASK_RGB = (86, 180, 233)
_MASK_SHARE = 0.35
_SHADOW = "#000000"


def draw_findings(shown: npt.NDArray[np.uint8], found: Detections, classes: Sequence[str]) -> bytes:
    """Return a PNG of (H, W) uint8 `shown` with boxes, masks, class names and scores.

    Lines and letters grow with the image; the best finding is drawn last, above the others.
    """
    image = _tinted(shown, found)
    pen = ImageDraw.Draw(image)
    line = max(1, round(max(shown.shape) / 400))
    font = ImageFont.load_default(size=max(10, 7 * line))
    for i in reversed(range(len(found))):
        x1, y1, x2, y2 = (float(each) for each in found.xyxy[i])
        pen.rectangle((x1 - line, y1 - line, x2 + line, y2 + line), outline=_SHADOW, width=line)
        pen.rectangle((x1, y1, x2, y2), outline=COLOUR, width=line)
        tag = f"{classes[found.labels[i]]} {found.scores[i]:.2f}"
        _write(pen, tag, (x1, y1), font, line)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)
    return file.getvalue()


def _tinted(shown: npt.NDArray[np.uint8], found: Detections) -> Image.Image:
    """The image in colour, masks blended into it."""
    if not found.masks:
        return Image.fromarray(shown).convert("RGB")
    covered = np.logical_or.reduce([masks.decode(mask) for mask in found.masks])
    colours = np.repeat(shown[:, :, None], 3, axis=2)
    tint = np.array(_MASK_RGB) * _MASK_SHARE
    colours[covered] = (colours[covered] * (1 - _MASK_SHARE) + tint).astype(np.uint8)
    return Image.fromarray(colours)


def _write(
    pen: ImageDraw.ImageDraw,
    tag: str,
    corner: tuple[float, float],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    line: int,
) -> None:
    """Writes above a box, or inside it where there is no room above."""
    left, top, right, bottom = pen.textbbox((0, 0), tag, font=font)
    x = max(0.0, min(corner[0], pen.im.size[0] - (right - left)))
    above = corner[1] - (bottom - top) - 3 * line
    y = above if above >= 0 else corner[1] + 2 * line
    pen.text((x - left, y - top), tag, COLOUR, font=font, stroke_width=line, stroke_fill=_SHADOW)
