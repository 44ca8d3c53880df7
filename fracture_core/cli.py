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


def main() -> None:
    """Run a command; what a person can put right is one sentence on stderr and exit code 2."""
    try:
        app()
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
