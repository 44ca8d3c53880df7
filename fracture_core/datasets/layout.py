"""Names and places inside a data set's folder: splits, groups, files and the cut into splits.

Nothing outside the folder is opened: names that lead out of it are refused, and so are links.
Groups are cut into train, val and test as units; the same seed gives the same cut on every machine.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from fracture_core.datasets.issues import quoted
from fracture_core.errors import ConfigError, DatasetError

SPLITS = ("train", "val", "test")
"""In the order that people list them; HDF5 files store the position."""
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".dcm", ".dicom"})

FOLDERS_WITHOUT_MEANING = frozenset({"images", "labels", "data", "jpegimages", *SPLIT_NAMES})
_AUGMENTED = re.compile(r"\.rf\.[0-9A-Za-z]+$")


def split_of_folder(name: str) -> str:
    """Returns the split a folder is named after, or "" if it is named after none.

    Example:
        >>> split_of_folder("val2017"), split_of_folder("test results")
        ('val', '')
    """
    return SPLIT_NAMES.get(name.lower().rstrip("0123456789"), "")


def split_name(asked: str) -> str:
    """Return the name that a data set has for a split that somebody typed; validation has several.

    Example:
        >>> split_name(" valid "), split_name("fold 3")
        ('val', 'fold 3')
    """
    plain = asked.strip()
    return SPLIT_NAMES.get(plain.casefold(), plain)


def split_of_file(name: str) -> str:
    """Returns the split that a word of a file name tells, or "" if none does.

    Example:
        >>> split_of_file("instances_val2017.json")
        'val'
    """
    for word in re.split(r"[^a-z]+", name.lower()):
        if word in SPLIT_NAMES:
            return SPLIT_NAMES[word]
    return ""


def group_of(relative: str) -> str:
    """Returns the original an image comes from: its path without split folders, suffix and hash.

    Roboflow adds `.rf.<hash>` to each augmented copy; copies of one original must stay in one
    split.

    Example:
        >>> group_of("train/images/a/wrist.rf.0a1b.jpg")
        'a/wrist'
    """
    path = PurePosixPath(relative)
    folders = [part for part in path.parts[:-1] if part.lower() not in FOLDERS_WITHOUT_MEANING]
    return "/".join([*folders, _AUGMENTED.sub("", path.stem)])


def relative_name(text: str, source: Path) -> PurePosixPath:
    """Returns a file name from an annotation file as a path; raises DatasetError if it leads
    elsewhere.
    """
    path = PurePosixPath(text.replace("\\", "/"))
    leads_out = path.is_absolute() or ".." in path.parts or bool(PureWindowsPath(text).drive)
    if leads_out or "\0" in text or not path.parts:
        raise DatasetError(
            source,
            expected="names of files inside the data set's folder",
            found=quoted(text),
            advice="Nothing outside the folder is opened.",
        )
    return path


@dataclass(slots=True)
class Folders:
    """The folders of a data set, each listed once.

    `root` is the folder of the data set, its own links resolved. Every method that lists files
    raises DatasetError for a link that leads out of it.
    """

    root: Path
    _listed: dict[Path, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = Path(os.path.realpath(self.root))

    def contains(self, path: Path) -> bool:
        """Tells whether a path, with links followed, lies inside the root."""
        # Unlike Path.resolve, realpath does not raise on links that run in a circle.
        return Path(os.path.realpath(path)).is_relative_to(self.root)

    def files(self, folder: Path) -> dict[str, int]:
        """Returns the names and sizes in bytes of the regular files in a folder; none if it is
        absent.
        """
        if folder not in self._listed:
            self._listed[folder] = self._list(folder)
        return self._listed[folder]

    def holds(self, path: Path) -> bool:
        """Tells whether a path is a regular file in a folder inside the root."""
        return path.name in self.files(path.parent)

    def walk(self, folder: Path) -> list[Path]:
        """Returns all regular files below a folder, sorted by name; hidden files and folders are
        skipped.
        """
        found = []
        for here, folders, _ in os.walk(folder):
            for name in folders:
                self._refuse_link_out(Path(here, name))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            names = self.files(Path(here))
            found += [Path(here, name) for name in sorted(names) if not name.startswith(".")]
        return found

    def relative(self, path: Path) -> str:
        """Returns a path as seen from the root, with forward slashes."""
        return path.relative_to(self.root).as_posix()

    def _list(self, folder: Path) -> dict[str, int]:
        if not folder.is_dir():
            return {}
        self._refuse_link_out(folder)
        files = {}
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    self._refuse_link_out(Path(entry.path))
                if entry.is_file():
                    files[entry.name] = entry.stat().st_size
        return files

    def _refuse_link_out(self, path: Path) -> None:
        if not self.contains(path):
            raise DatasetError(
                path,
                expected="files inside the data set's folder",
                found="a link that leads out of it",
                advice="Put the file itself in its place.",
            )


Shares = tuple[float, float, float]
DEFAULT_SHARES: Shares = (0.70, 0.15, 0.15)


def parse_shares(text: str) -> Shares | None:
    """Returns shares that add up to 1, or None for an empty text; raises ConfigError.

    Example:
        >>> parse_shares("70,15,15")
        (0.7, 0.15, 0.15)
    """
    if not text:
        return None
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError:
        train = val = test = -1.0
    total = train + val + test
    if not (min(train, val, test) >= 0 and 0 < total < float("inf")):
        expected = "three numbers for train, val and test such as 70,15,15"
        raise ConfigError("splits", expected=expected, found=repr(text))
    return (train / total, val / total, test / total)


def assign_splits(strata: Mapping[str, object], shares: Shares, seed: int) -> dict[str, str]:
    """Returns the split of each group.

    `strata` tells what kind each group is of, such as with or without findings. Every kind is cut
    by the shares on its own, so that all splits get some of each.
    """
    kinds: dict[object, list[str]] = {}
    for group, kind in strata.items():
        kinds.setdefault(kind, []).append(group)
    splits = {}
    for members in kinds.values():
        ranked = ranked_by(members, seed)
        ends = [round(shares[0] * len(ranked)), round((shares[0] + shares[1]) * len(ranked))]
        for place, group in enumerate(ranked):
            splits[group] = SPLITS[sum(place >= end for end in ends)]
    return splits


def ranked_by(names: Iterable[str], seed: int) -> list[str]:
    """Returns the names in an order that the seed alone decides, whatever order they come in."""
    # By a hash: what a random number generator draws may change from one version to the next.
    return sorted(names, key=lambda name: (_digest(f"{seed}/{name}"), name))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
