"""Text in images: the font, and names cut to what fits."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont


def font_file() -> Path:
    """Return the file of DejaVu Sans, which comes with matplotlib; matplotlib is not imported."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("matplotlib is not installed; run make setup")
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"


@lru_cache(maxsize=8)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans at a size in pixels."""
    return ImageFont.truetype(str(font_file()), size)


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` letters.

    Example:
        >>> shortened("comminuted", 6)
        'commi…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"
