"""The command line of training: `python -m trainers COMMAND`.

Commands: recipes, new, check, train, submit, status, logs, stop, resume, add and shipped-models.
The docstring of each is its help text. A run may be named as `status` prints it. Heavy modules are
imported within the commands, so that the help appears at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from fracture_core.cli import run_app
from fracture_core.errors import ConfigError

if TYPE_CHECKING:
    from fracture_core.jobs import Job
    from trainers.config import TrainConfig

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train models.")


def _run_folder(text: str) -> Path:
    """The folder of a run, which may be named as `status` prints it; a path that is there wins."""
    from fracture_core.settings import settings

    path = Path(text).expanduser()
    named = settings().runs / text
    return named if not path.exists() and path.name == text and named.exists() else path


RunArgument = Annotated[
    Path, typer.Argument(help="The run: its folder, or its name.", parser=_run_folder)
]
RecipeOption = Annotated[str, typer.Option(help="One of `python -m trainers recipes`.")]
DataOption = Annotated[Path, typer.Option(help="The data set: a file or a folder.")]
ChangeOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="key=value, such as epochs=5 or network.width=32; repeatable."),
]


@app.command()
def recipes() -> None:
    """List the recipes as a table: family, epochs, batch and input size of each."""
    from trainers.recipes import RECIPES

    rows = [("recipe", "family", "epochs", "batch", "px", "what it is")]
    for recipe in RECIPES.values():
        config = recipe.config("", {})
        epochs = "+".join(str(phase.epochs) for phase in config.phases)
        sizes = (str(config.batch), str(config.input_size))
        rows.append((recipe.name, config.family, epochs, *sizes, recipe.summary))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


@app.command()
def new(
    run_folder: Annotated[Path, typer.Argument(help="A folder that is new or empty.")],
    recipe: RecipeOption,
    data: DataOption,
    change: ChangeOption = None,
) -> None:
    """Make a run folder; nothing is trained yet."""
    from trainers.running import make_run

    changes = dict(_parse(text) for text in change or ())
    run = make_run(run_folder, recipe, str(data), changes)
    print(f"{run.path}\nTrain it with: python -m trainers train {run_folder}")


@app.command()
def check(
    run_folder: Annotated[
        Path | None,
        typer.Argument(help="A run, by its folder or name.", parser=_run_folder),
    ] = None,
    recipe: Annotated[str, typer.Option(help="Without a run: one of the recipes.")] = "",
    data: Annotated[Path | None, typer.Option(help="Without a run: the data set.")] = None,
    change: ChangeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check a run, or a recipe with data: data, disk, memory, time; a few steps are measured."""
    from trainers.preflight import preflight

    found = preflight(_config_to_check(run_folder, recipe, data, change))
    if as_json:
        print(found.model_dump_json())
        return
    for finding in found.findings:
        print(f"{finding.level:8} {finding.text}")
    if not found.may_start:
        raise typer.Exit(2)
    print(
        f"{found.parameters / 1e6:.1f} M parameters, {found.step_seconds:.2f} s a step on "
        f"{found.device}: {found.steps:,} steps, about {found.seconds / 3600:.1f} h; "
        f"{found.memory_bytes / 1e9:.1f} GB of memory at the peak"
    )


def _config_to_check(
    run_folder: Path | None, recipe: str, data: Path | None, change: list[str] | None
) -> "TrainConfig":
    from fracture_core.runs import open_run
    from trainers.family_configs import read_config
    from trainers.recipes import find_recipe

    if run_folder is not None and (recipe or data or change):
        found = "a run and settings for a new one"
        raise ConfigError("check", expected="a run alone, or --recipe and --data", found=found)
    if run_folder is not None:
        return read_config(open_run(run_folder).config)
    if not recipe or data is None:
        raise ConfigError("check", expected="a run, or --recipe and --data", found="neither")
    changes = dict(_parse(text) for text in change or ())
    return find_recipe(recipe).config(str(data.absolute()), changes)


@app.command()
def train(run_folder: RunArgument) -> None:
    """Train a run, or go on where it stopped."""
    from fracture_core.runs import open_run
    from trainers.running import train_run

    card = train_run(open_run(run_folder))
    if card is None:
        print(f"Stopped after a checkpoint. Go on with: python -m trainers train {run_folder}")
        return
    metrics = "  ".join(f"{name} {value:.3f}" for name, value in card.metrics.items())
    print(f"{card.model_id}  {metrics}")


@app.command()
def shipped_models(
    radiographs: Annotated[Path, typer.Option(help="FracAtlas as COCO JSON.")],
    pretrained: Annotated[Path, typer.Option(help="Folder of pretrained weights.")],
    work: Annotated[Path, typer.Option(help="Where data and runs are kept.")] = Path(
        "runs/shipped-models"
    ),
    only: Annotated[list[str] | None, typer.Option(help="Only this one; repeatable.")] = None,
) -> None:
    """Train the models that come with the package anew, on real and synthetic radiographs."""
    from trainers.shipping import Workshop, train_shipped_models

    workshop = Workshop(
        work=work.absolute(),
        radiographs=radiographs.expanduser().absolute(),
        pretrained=pretrained.expanduser().absolute(),
    )
    for line in train_shipped_models(workshop, tuple(only or ())):
        print(line)


@app.command()
def submit(run_folder: RunArgument) -> None:
    """Queue a run, which then trains in the background."""
    from fracture_core import jobs

    _print_jobs([jobs.submit(run_folder)])


@app.command()
def status(
    run_folder: Annotated[
        Path | None,
        typer.Argument(help="The run: its folder, or its name.", parser=_run_folder),
    ] = None,
) -> None:
    """Show the state of a job, or of all jobs."""
    from fracture_core import jobs

    jobs.tend()
    _print_jobs(jobs.list_jobs() if run_folder is None else [jobs.find_job(run_folder)])


@app.command()
def logs(run_folder: RunArgument) -> None:
    """Print the end of the output of a job."""
    from fracture_core import jobs

    print(jobs.logs(run_folder), end="")


@app.command()
def stop(run_folder: RunArgument) -> None:
    """Stop a job after a checkpoint, and wait until nothing of it is left."""
    from fracture_core import jobs
    from fracture_core.settings import settings

    jobs.stop(run_folder)
    patience = settings().stop_seconds + 30
    _print_jobs([jobs.wait_for_end(run_folder, timeout_seconds=patience)])


@app.command()
def resume(run_folder: RunArgument) -> None:
    """Queue a job that stopped, failed or was lost; it goes on from its last checkpoint."""
    from fracture_core import jobs

    _print_jobs([jobs.resume(run_folder)])


@app.command()
def add(run_folder: RunArgument) -> None:
    """Add a run's model to the library; of one that did not end the best checkpoint so far."""
    from trainers.unfinished import add_run

    card = add_run(run_folder)
    print(f"{card.model_id}: {card.title}. {card.note}")


def _print_jobs(jobs: "list[Job]") -> None:
    from fracture_core.jobs import read_progress

    for job in jobs:
        progress = read_progress(job.run)
        share = f"{progress.share:4.0%}" if progress else ""
        print(f"{job.name:24}  {job.state:9}  {share:4}  {job.detail}".rstrip())


def _parse(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError("--set", expected="key=value", found=repr(text))
    try:
        return name.strip(), yaml.safe_load(value) if value else ""
    except yaml.YAMLError as error:
        raise ConfigError(name, expected="a value", found=repr(value)) from error


def main() -> None:
    """Run a command of the trainers."""
    run_app(app)


if __name__ == "__main__":
    main()
