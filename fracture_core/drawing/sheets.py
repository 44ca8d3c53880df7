"""Several images on one: panels side by side under captions, and grids of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from fracture_core.drawing.text import font

_BACKGROUND, _LETTERS, _QUIET = "#0b0b0c", "#e8ecef", "#a8b0b8"
_LINE_PX, _LETTER_PX, _MARGIN_PX = 20, 14, 8
RESEARCH_USE = "Research use only. Not for clinical decisions."
"""The line below every sheet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """An image under lines of text, of which the first stands out."""

    image: Image.Image
    lines: tuple[str, ...]


def sheet_of(rows: Sequence[Sequence[Panel]], *, footer: str = RESEARCH_USE) -> Image.Image:
    """Return panels in rows, each column as wide as its widest image, with a line below.

    Text that does not fit into its column goes on in the next line.
    """
    columns = max(len(row) for row in rows)
    widths = [
        max(row[place].image.width for row in rows if place < len(row)) for place in range(columns)
    ]
    drawn = [_row(row, widths) for row in rows]
    width = max(each.width for each in drawn)
    below = _wrapped(footer, width - 2 * _MARGIN_PX) if footer else []
    height = sum(each.height for each in drawn) + len(below) * _LINE_PX + _MARGIN_PX
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    top = 0
    for each in drawn:
        sheet.paste(each, (0, top))
        top += each.height
    _write(ImageDraw.Draw(sheet), below, _MARGIN_PX, top + _MARGIN_PX // 2, first=_QUIET)
    return sheet


def grid_of(panels: Sequence[Panel], across: int, *, footer: str = RESEARCH_USE) -> Image.Image:
    """Return panels in the order of reading, `across` a row."""
    rows = [panels[start : start + across] for start in range(0, len(panels), across)]
    return sheet_of(rows, footer=footer)


def _row(panels: Sequence[Panel], widths: Sequence[int]) -> Image.Image:
    texts = [
        [part for line in panel.lines for part in _wrapped(line, width)]
        for panel, width in zip(panels, widths, strict=False)
    ]
    above = max(len(each) for each in texts) * _LINE_PX + _MARGIN_PX
    height = above + max(panel.image.height for panel in panels) + _MARGIN_PX
    row = Image.new("RGB", (sum(widths) + _MARGIN_PX * (len(widths) + 1), height), _BACKGROUND)
    pen, left = ImageDraw.Draw(row), _MARGIN_PX
    for panel, lines, width in zip(panels, texts, widths, strict=False):
        _write(pen, lines, left, _MARGIN_PX // 2, first=_LETTERS)
        row.paste(panel.image, (left + (width - panel.image.width) // 2, above))
        left += width + _MARGIN_PX
    return row


def _write(
    pen: ImageDraw.ImageDraw, lines: Sequence[str], left: int, top: int, *, first: str
) -> None:
    for place, line in enumerate(lines):
        colour = first if place == 0 else _QUIET
        pen.text((left, top + place * _LINE_PX), line, colour, font(_LETTER_PX))


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines that fit; a word that is wider than the column is cut."""
    letters, lines = font(_LETTER_PX), [""]
    for whole in text.split():
        word = whole
        while letters.getlength(word) > width and len(word) > 1:
            word = f"{word[:-2]}…"
        longer = f"{lines[-1]} {word}".strip()
        if letters.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
