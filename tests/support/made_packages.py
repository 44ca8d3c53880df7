"""Tiny packages that extend the workbench, as an installer would lay them down."""

import tomllib
from pathlib import Path

from tests.support.worked_examples import blocks_of

FORMAT, FAMILY = "A data set format", "A model family"


def install(site: Path, group: str, name: str, entry: str, code: str) -> None:
    """A module and the metadata with its entry point, below a folder of `sys.path`."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{name}.py").write_text(code, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fracture_core.{group}]\n{name} = {entry}\n")


def install_boxes(site: Path) -> None:
    """The worked example of a format in CONTRIBUTING.md."""
    _install_example(site, FORMAT, "formats")


def install_spots(site: Path) -> None:
    """The worked example of a family in CONTRIBUTING.md."""
    _install_example(site, FAMILY, "families")


def _install_example(site: Path, heading: str, group: str) -> None:
    [code], [project] = blocks_of(heading), blocks_of(heading, "toml")
    [entry] = tomllib.loads(project)["project"]["entry-points"][f"fracture_core.{group}"].values()
    install(site, group, entry.partition(":")[0], entry, code)
