"""The command line, `python -m fracture_core COMMAND`; docstrings of commands are its help.

Each command imports what it needs when it is called, so that `--help` answers at once.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from fracture_core.errors import ConfigError, WorkbenchError
from fracture_core.files import storage_error

app = typer.Typer(
    help="Fracture workbench. Research use only, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _commands() -> None:
    """Keeps the names of commands in the command line; Typer would drop that of an only command."""


@app.command()
def info(
    paths: Annotated[list[Path], typer.Argument(help="Images, DICOM files or data sets.")],
) -> None:
    """Print one JSON line for each image or data set."""
    from fracture_core.info import print_info

    if print_info(paths, sys.stdout):
        raise typer.Exit(1)


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(help="Images, folders of them or data sets.")],
    model: Annotated[
        list[str],
        typer.Option(
            help="A library id, a .pt file or an architecture; repeatable with --draw alone."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The COCO JSON file to write.")] = None,
    draw: Annotated[
        Path | None,
        typer.Option(help="A folder for images with boxes, masks and ground truth drawn in."),
    ] = None,
    colours: Annotated[
        str, typer.Option(help="Of these images: viewer, or as published r1, r3.")
    ] = "viewer",
    confidence: Annotated[float | None, typer.Option(help="Leave out lower scores.")] = None,
    nms: Annotated[
        float | None,
        typer.Option(help="NMS IoU: boxes that overlap a better one more are suppressed."),
    ] = None,
) -> None:
    """Write a model's findings as COCO results, raw unless a filter is given, or draw them.

    Drawn is what each model shows from the confidence at which the pages open it, unless one is
    given; several models are drawn side by side.
    """
    from fracture_core.prediction_images import Wishes, run

    wishes = Wishes(out=out, draw=draw, colours=colours, confidence=confidence, nms_iou=nms)
    raise typer.Exit(run(paths, model, wishes))


@app.command()
def explain(  # noqa: PLR0913, PLR0917
    model: Annotated[str, typer.Argument(help="A library id, a .pt file or an architecture.")] = "",
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Images, folders of them or data sets.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for the images; with --sheet the PNG to write.")
    ] = None,
    findings: Annotated[
        int, typer.Option(help="Of each image, the best first.", min=1, max=20)
    ] = 1,
    checks: Annotated[
        bool, typer.Option(help="Check how far each map can be trusted, which takes longer.")
    ] = True,
    sheet: Annotated[
        Path | None,
        typer.Option(help="The folder of an evaluation: its critical errors and random cases."),
    ] = None,
    count: Annotated[int, typer.Option(help="Random cases of a sheet.", min=0, max=200)] = 6,
    seed: Annotated[int, typer.Option(help="Of the random cases.", min=0)] = 0,
    critical: Annotated[
        list[str] | None, typer.Option(help="TRUE:PREDICTED, a critical error; repeatable.")
    ] = None,
) -> None:
    """Write heat maps: of a model on images, or of an evaluation's cases on one sheet."""
    from fracture_core.heat_maps import Wishes, run

    wishes = Wishes(
        checks=checks, findings=findings, count=count, seed=seed, critical=tuple(critical or ())
    )
    raise typer.Exit(run(model, paths or (), sheet, out, wishes))


@app.command()
def evaluate(  # noqa: PLR0913, PLR0917
    model: Annotated[str, typer.Option(help="A library id, a .pt file or an architecture.")] = "",
    data: Annotated[Path | None, typer.Option(help="The data set: a file or a folder.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Such as valid (the default) or test; all is every image.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A new folder; by default one under the home folder.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on in the folder of an evaluation, or report again.")
    ] = None,
    one_class: Annotated[
        bool, typer.Option("--one-class", help="Every class counts as one finding.")
    ] = False,
    is_a: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=CLASS, a class that counts as another; repeatable. By default "
            "what was confirmed in the app; NAME= is no finding."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only so many images, evenly spread.", min=1)
    ] = None,
    match_iou: Annotated[
        float | None, typer.Option(help="A box is right from this IoU on; 0.5.")
    ] = None,
    nms_iou: Annotated[float | None, typer.Option(help="NMS IoU; 0.5.")] = None,
    study_rule: Annotated[
        str | None, typer.Option(help="max (the default), noisy-or or top-3 mean.")
    ] = None,
    critical: Annotated[
        list[str] | None, typer.Option(help="TRUE:PREDICTED, a confusion to watch; repeatable.")
    ] = None,
    choose_points: Annotated[
        bool, typer.Option("--choose-points", help="Keep operating points with the model's card.")
    ] = False,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            help="What --choose-points chooses by: max F1, max any-hit F1, sensitivity >= 0.9, "
            "specificity >= 0.9, FP per image <= 1; repeatable. By default all but the second."
        ),
    ] = None,
    apply_points: Annotated[
        bool, typer.Option("--apply-points", help="Measure the model's operating points here.")
    ] = False,
) -> None:
    """Predict a data set once and report every metric of it; run again with --resume to go on."""
    from fracture_core.class_names import parse_table
    from fracture_core.evaluations import command
    from fracture_core.evaluations.command import Wishes
    from fracture_core.operating_points import RULES, parse_rule

    if rule and not choose_points:
        raise ConfigError("--rule", expected="--choose-points beside it", found="none")
    wishes = Wishes(
        critical=tuple(critical or ()),
        choose_points=choose_points,
        rules=tuple(map(parse_rule, rule or ())) or RULES,
        apply_points=apply_points,
    )
    asked: dict[str, object] = {
        "model": model or None,
        "data": None if data is None else str(data.absolute()),
        "split": split,
        "one_class": one_class or None,
        "is_a": parse_table(is_a) if is_a else None,
        "limit": limit,
    }
    how: dict[str, object] = {"nms_iou": nms_iou, "match_iou": match_iou, "study_rule": study_rule}
    if resume is not None:
        raise typer.Exit(command.resume(resume, asked | {"out": out}, how, wishes))
    raise typer.Exit(command.start(asked | how, out, wishes))


@app.command()
def models(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """List the model families and the models of the library."""
    from fracture_core.info import as_text, listing

    found = listing()
    print(found.model_dump_json(indent=2) if as_json else as_text(found))


@app.command()
def add_model(
    file: Annotated[str, typer.Argument(help="A weights file, or a name such as yolo11n.yaml.")],
    family: Annotated[str, typer.Option(help="The family of a weights file.")] = "yolo",
    classes: Annotated[str, typer.Option(help="Class names, separated by commas.")] = "",
    model_id: Annotated[str, typer.Option("--id", help="By default made from the name.")] = "",
    title: Annotated[str, typer.Option(help="What the pages call it.")] = "",
    input_size: Annotated[
        int | None,
        typer.Option(help="In pixels, where the file does not tell.", min=32, max=4096),
    ] = None,
    standardise: Annotated[
        Literal["imagenet", "half"] | None,
        typer.Option(help="A classifier's input: imagenet (as usual), or half: by 0.5 and 0.5."),
    ] = None,
) -> None:
    """Add weights saved elsewhere to the library; nothing in the file is executed."""
    from fracture_core.models import library

    names = tuple(name.strip() for name in classes.split(",")) if classes else None
    path = Path(file).expanduser()
    naming = {"model_id": model_id or None, "title": title or None}
    if path.exists():
        card = library.add_model(
            path,
            family_name=family,
            classes=names,
            input_size=input_size,
            standardise=standardise,
            **naming,
        )
    else:
        card = library.add_named(file, **naming)
    print(f"{card.model_id}: {card.family}, {card.task}, {len(card.classes)} classes")


@app.command()
def consensus(
    members: Annotated[
        list[str],
        typer.Argument(help="Library ids: ID, ID+flipped (mirrored), ID=2 (counts twice)."),
    ],
    model_id: Annotated[str, typer.Option("--id", help="By default consensus.")] = "",
    title: Annotated[str, typer.Option(help="What the pages call it.")] = "",
    fusion_iou: Annotated[float, typer.Option(help="Boxes that overlap more are one.")] = 0.55,
    nms_iou: Annotated[float, typer.Option(help="NMS IoU of each member.")] = 0.5,
    scores: Annotated[
        str, typer.Option(help="ppv, raw, or measured: ppv where all members were measured.")
    ] = "measured",
    gate: Annotated[
        float, typer.Option(help="Power of the classifiers' score that boxes are multiplied by.")
    ] = 0.5,
) -> None:
    """Join models of the library into one by weighted box fusion, and keep it there."""
    from fracture_core.models.consensus_making import Rule, Voice, add_consensus

    rule = Rule(fusion_iou=fusion_iou, nms_iou=nms_iou, scores=scores, gate=gate)
    voices = [Voice.parse(text) for text in members]
    card = add_consensus(voices, rule, model_id=model_id or None, title=title or None)
    print(f"{card.model_id}: {card.family}, {card.task}, {len(card.classes)} classes. {card.note}")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="A folder that is new or empty.")],
    count: Annotated[int, typer.Option(help="Radiographs, or CT studies for hdf5.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed makes the same set.", min=0)] = 0,
    format: Annotated[str, typer.Option(help="coco, yolo, hdf5 or dicom.")] = "coco",  # noqa: A002
    size: Annotated[str, typer.Option(help="Of the radiographs, such as 640x768.")] = "",
    boxes: Annotated[bool, typer.Option(help="YOLO boxes in place of polygons.")] = False,
) -> None:
    """Make synthetic radiographs or CT studies with their ground truth."""
    from fracture_core.demo.layouts import run

    print(run(folder, count=count, seed=seed, format=format, size=size, boxes=boxes))


@app.command()
def formats() -> None:
    """List the formats of data sets, those of other packages as well."""
    from fracture_core.datasets.formats import listed

    print(listed())


@app.command()
def convert(  # noqa: PLR0913, PLR0917
    source: Annotated[Path, typer.Argument(help="A data set, or the raw RSNA 2022 download.")],
    destination: Annotated[Path, typer.Argument(help="New or empty; .h5 names a file for hdf5.")],
    to: Annotated[str, typer.Option(help="hdf5, coco, yolo or another that `formats` lists.")],
    size: Annotated[int | None, typer.Option(help="Longer side in pixels; hdf5: 256.")] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(help="Leave out what the target cannot hold: masks, classes, boxes, unknown."),
    ] = None,
    splits: Annotated[str, typer.Option(help="Cut anew by patient, such as 70,15,15.")] = "",
    seed: Annotated[int, typer.Option(help="Of splits and negatives.", min=0)] = 0,
    negatives: Annotated[
        float | None, typer.Option(help="Raw download: slices without a box for each with one (3).")
    ] = None,
    any_negatives: Annotated[
        bool, typer.Option(help="Raw download: also from fractured studies without any box.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes; 0 takes one a core.", min=0)] = 0,
) -> None:
    """Write a data set in another format; run it again to continue after an interruption."""
    from fracture_core.conversion import Options, converter
    from fracture_core.datasets.layout import parse_shares

    options = Options(
        to=to,
        size_px=size,
        drop=frozenset(drop or ()),
        shares=parse_shares(splits),
        negatives=negatives,
        any_negatives=any_negatives,
        seed=seed,
    )
    raise typer.Exit(converter.run(source, destination, options, workers=workers))


@app.command()
def health(  # noqa: PLR0913, PLR0917
    path: Annotated[Path, typer.Argument(help="A data set.")],
    json: Annotated[Path | None, typer.Option(help="Write the report as JSON.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a line for each place.")] = None,
    input_size: Annotated[int, typer.Option(help="Of a model, in pixels.", min=16)] = 640,
    least_px: Annotated[float, typer.Option(help="Of an object at that size.", min=0)] = 4.0,
    least_objects: Annotated[int, typer.Option(help="Of a class.", min=0)] = 10,
    repair: Annotated[
        Path | None, typer.Option(help="Write a copy whose splits are cut by group.")
    ] = None,
    splits: Annotated[str, typer.Option(help="Of the copy: train, val and test.")] = "70,15,15",
    seed: Annotated[int, typer.Option(help="Of the copy's splits.", min=0)] = 0,
) -> None:
    """Say what may be wrong with a data set; ends with 1 where there are errors."""
    from fracture_core.health import Limits, command
    from fracture_core.health.repair import Repair

    limits = Limits(input_size=input_size, least_px=least_px, least_objects=least_objects)
    repaired = Repair.of(repair, splits, seed) if repair else None
    raise typer.Exit(command.run(path, limits, json=json, csv=csv, repair=repaired))


@app.command()
def serve(  # noqa: PLR0913, PLR0917
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535)] = 8600,
    workers: Annotated[int, typer.Option(help="Processes that ask models.", min=1)] = 1,
    queue: Annotated[
        int, typer.Option(help="Requests under way; further ones get 429.", min=1)
    ] = 64,
    batch: Annotated[
        int, typer.Option(help="Files read together where that is faster.", min=1)
    ] = 8,
    wait_ms: Annotated[
        float, typer.Option(help="How long a batch waits for more.", min=0, max=1000)
    ] = 5,
    seconds: Annotated[float, typer.Option(help="What reading a request may take.", min=1)] = 60,
    most_mb: Annotated[int, typer.Option(help="What a request may hold, in MiB.", min=1)] = 100,
) -> None:
    """Serve models over HTTP; FRACTURE_API_KEY is the key to ask for, /openapi.json the manual."""
    from fracture_core.service import require_packages

    require_packages()
    from fracture_core.service.limits import Limits
    from fracture_core.service.serving import serve as serve_http

    limits = Limits(
        workers=workers,
        most_in_flight=queue,
        most_batch=batch,
        wait_seconds=wait_ms / 1000,
        seconds=seconds,
        most_bytes=most_mb << 20,
    )
    serve_http(host, port, limits)


def run_app(commands: typer.Typer) -> None:
    """Run a command; an error that the user can put right is a sentence on stderr, exit code 2."""
    try:
        commands()
    except (WorkbenchError, OSError) as error:
        told = error if isinstance(error, WorkbenchError) else storage_error(error)
        if told is None:
            raise
        print(told, file=sys.stderr)
        sys.exit(2)


def main() -> None:
    """Run a command of the core."""
    run_app(app)
