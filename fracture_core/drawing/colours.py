"""Colours: of boxes by their kind, as the viewer or a published system has them, and of heat.

The viewer's own are those of Okabe and Ito, which colour-blind readers can tell apart. Heat rises
from violet over green to yellow at a lightness that rises evenly in OKLab (Ottosson 2020);
`ui/widgets/viewer/heatmap.js` computes the same colours.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fracture_core.errors import ConfigError

# ---- of boxes ------------------------------------------------------------------------------------

COLOURS = {
    "truth": "#56b4e9",
    "missed": "#f0e442",
    "true positive": "#009e73",
    "false positive": "#d55e00",
    "duplicate": "#cc79a7",
    "finding": "#e8ecef",
    "candidate": "#e8ecef",
}
"""The viewer's colours by kind of box."""
GROUND_TRUTHS = ("truth", "missed")
"""The kinds that are ground truths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """The colour of each kind of box.

    `letters` are those of the tags where they must be lighter than the lines · `best_only` says
    that of what is found only the best box is drawn.
    """

    colours: Mapping[str, str]
    letters: Mapping[str, str] = field(default_factory=dict)
    best_only: bool = False

    def letter(self, kind: str) -> str:
        """Return the colour of a tag."""
        return self.letters.get(kind, self.colours[kind])


def _of_two(ground_truth: str, found: str) -> dict[str, str]:
    return {kind: ground_truth if kind in GROUND_TRUTHS else found for kind in COLOURS}


VIEWER = Palette(colours=COLOURS, letters={"true positive": "#2fd6a8", "false positive": "#ff8f4d"})
_GT_IN_RED = {"truth": "#ff3030", "missed": "#ff3030", "false positive": "#56b4e9"}
PALETTES = {
    "viewer": VIEWER,
    "r1": Palette(colours=_of_two("#00ff00", "#ff3030"), best_only=True),
    "r3": Palette(colours=COLOURS | _GT_IN_RED),
}
"""By name: the viewer's, and those of two published systems. R1 drew the ground truth in lime and
the best box in red, R3 the ground truth in red."""


def find_palette(name: str) -> Palette:
    """Return a palette by name; raises ConfigError for an unknown one."""
    if name not in PALETTES:
        raise ConfigError("colours", expected=f"one of {', '.join(PALETTES)}", found=repr(name))
    return PALETTES[name]


# ---- of heat -------------------------------------------------------------------------------------

_LIGHTNESS = (0.36, 0.93)
_HUE_DEGREES = (305, 105)
_CHROMA, _CHROMA_STEP = 0.17, 0.002
_FULL_FROM = 0.5


def heat_colour(share: float) -> tuple[int, int, int]:
    """Return red, green and blue from 0 to 255 of a share in [0, 1].

    Example:
        >>> heat_colour(0.0)[2] > heat_colour(1.0)[2]
        True
    """
    lightness = _LIGHTNESS[0] + share * (_LIGHTNESS[1] - _LIGHTNESS[0])
    hue = math.radians(_HUE_DEGREES[0] + share * (_HUE_DEGREES[1] - _HUE_DEGREES[0]))
    chroma = _CHROMA
    linear = _linear_of(lightness, chroma, hue)
    # As strong a colour as the screen can show.
    while any(part < 0 or part > 1 for part in linear):
        chroma -= _CHROMA_STEP
        linear = _linear_of(lightness, chroma, hue)
    red, green, blue = (_encoded(part) for part in linear)
    return red, green, blue


def heat_table() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return the colours (256, 3) of the values 0 to 255 and how opaque each is, (256,) in [0, 1].

    Nothing is transparent, and from half of the maximum on a colour is full.
    """
    values = [value / 255 for value in range(256)]
    colours = np.array([heat_colour(value) for value in values], dtype=np.uint8)
    opaque = np.array([min(value / _FULL_FROM, 1.0) for value in values], dtype=np.float32)
    return colours, opaque


def _linear_of(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    """OKLCH to linear red, green and blue, outside [0, 1] where no screen can show the colour."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3  # noqa: E741
    m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3
    return (
        4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
        -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
        -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
    )


def _encoded(part: float) -> int:
    return round(255 * (12.92 * part if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055))
