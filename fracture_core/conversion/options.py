"""What is asked of a conversion."""

from dataclasses import asdict, dataclass

from fracture_core.datasets.formats import writer_of
from fracture_core.datasets.splits import Shares
from fracture_core.errors import ConfigError

DROPS = ("masks", "classes", "boxes", "unknown")
SIDES_PX = (16, 8192)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Raises ConfigError for a value that cannot be.

    `to` a format that can be written · `size_px` of the longer side, None is the format's usual
    one, for HDF5 256 and else that of each picture · `drop` what may be left out where the target
    cannot hold it, see `DROPS` · `shares` of groups in train, val and test; None keeps the splits,
    for the raw download it is 70, 15, 15 · `negatives` slices without a box for each with one, raw
    download only · `any_negatives` draws them from fractured studies without a box as well ·
    `seed` of splits and negatives.
    """

    to: str
    size_px: int | None = None
    drop: frozenset[str] = frozenset()
    shares: Shares | None = None
    negatives: float | None = None
    any_negatives: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        writer_of(self.to)
        if self.size_px is not None and not SIDES_PX[0] <= self.size_px <= SIDES_PX[1]:
            _refuse("size", f"{SIDES_PX[0]} to {SIDES_PX[1]:,} pixels", f"{self.size_px:,}")
        if strange := sorted(self.drop - set(DROPS)):
            _refuse("drop", f"any of {', '.join(DROPS)}", repr(strange[0]))
        if self.negatives is not None and not 0 <= self.negatives <= 10_000:
            _refuse("negatives", "0 to 10,000 for each slice with a box", f"{self.negatives:g}")

    @property
    def side_px(self) -> int | None:
        """The longer side as written; None leaves every picture its size."""
        return self.size_px or writer_of(self.to).usual_side_px

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "drop": sorted(self.drop), "side_px": self.side_px}


def _refuse(name: str, expected: str, found: str) -> None:
    raise ConfigError(name, expected=expected, found=found)
