"""The command line: `python -m fracture_core COMMAND`.

Each command imports what it needs when it is called, so that `--help` answers at once.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fracture_core.errors import WorkbenchError

app = typer.Typer(
    help="Fracture workbench. Research use only, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _commands() -> None:
    """Keep the name of a command in the command line even where there is only one."""


@app.command()
def info(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, DICOM files or data sets.")],
) -> None:
    """Print one JSON line for each picture or data set."""
    from fracture_core.info import print_info

    if print_info(paths, sys.stdout):
        raise typer.Exit(1)


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, folders of them or data sets.")],
    model: Annotated[str, typer.Option(help="A library id, a .pt file or an architecture.")],
    out: Annotated[Path, typer.Option(help="The COCO JSON file to write.")],
    confidence: Annotated[float | None, typer.Option(help="Leave out lower scores.")] = None,
    nms: Annotated[float | None, typer.Option(help="Merge boxes that overlap more (IoU).")] = None,
) -> None:
    """Write a model's findings as COCO results, raw unless a filter is given."""
    from tqdm import tqdm

    from fracture_core.models.library import open_model
    from fracture_core.predictions import Filter, find_items, write_predictions

    keep = Filter(confidence=confidence, nms_iou=nms)
    loaded = open_model(model)
    items, errors = find_items(paths)
    with tqdm(total=len(items), unit="picture", disable=None) as bar:
        errors += write_predictions(
            loaded, items, out, keep=keep, progress=lambda done: bar.update(done - bar.n)
        )
    for error in errors:
        print(error, file=sys.stderr)
    if errors:
        raise typer.Exit(1)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="A folder that is new or empty.")],
    count: Annotated[int, typer.Option(help="Radiographs, or CT studies for hdf5.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed makes the same set.", min=0)] = 0,
    format: Annotated[str, typer.Option(help="coco, yolo, hdf5 or dicom.")] = "coco",  # noqa: A002
    size: Annotated[str, typer.Option(help="Of the radiographs, such as 640x768.")] = "",
    boxes: Annotated[bool, typer.Option(help="YOLO boxes in place of polygons.")] = False,
) -> None:
    """Make synthetic radiographs or CT studies with their truth."""
    from fracture_core.demo.command import run

    print(run(folder, count=count, seed=seed, format=format, size=size, boxes=boxes))


def main() -> None:
    """Run a command; what a person can put right is one sentence on stderr and exit code 2."""
    try:
        app()
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
