"""Tiny packages that bring a data set format, as an installer would lay them down."""

import tomllib
from pathlib import Path

from tests.worked_examples import blocks_of

FORMAT = "A data set format"


def install(site: Path, name: str, entry: str, code: str) -> None:
    """A module and the metadata with its entry point, below a folder of `sys.path`."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{name}.py").write_text(code, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fracture_core.formats]\n{name} = {entry}\n")


def install_boxes(site: Path) -> None:
    """The worked example of CONTRIBUTING.md."""
    [code], [project] = blocks_of(FORMAT), blocks_of(FORMAT, "toml")
    [entry] = tomllib.loads(project)["project"]["entry-points"]["fracture_core.formats"].values()
    install(site, "boxes_format", entry, code)
