"""Trackers: where a run is also logged (TensorBoard, MLflow, W&B), by the classes of Accelerate.

None is used unless the config names it. They get the numbers of each epoch by their names in the
metrics log and, when a run first begins, its settings, without the folders of this machine. What a
tracker writes stands in the run's folder under `trackers/`, together with the id by which a
resumed run goes on in the same place.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from fracture_core import importing
from fracture_core.errors import ConfigError
from fracture_core.files import make_folder, write_text
from fracture_core.runs import RunFolder
from trainers.config import TrainConfig

# ---- the kinds ----------------------------------------------------------------------------------

_PROJECT = "fracture-workbench"
# Of a line of the metrics log: where it stands, not what was measured.
_PLACE = frozenset({"phase", "epoch", "of", "step", "steps", "best"})


class TrackerKind(NamedTuple):
    """A tracker that can be asked for.

    `title` for people · `package` that has to be installed · `make` gives Accelerate's tracker for
    a folder, the run's name and the id of before, which is empty at first · `id_of` gives the id of
    one that has started.
    """

    title: str
    package: str
    make: Callable[[Path, str, str], Any]
    id_of: Callable[[Any], str]


def _make_tensorboard(folder: Path, _name: str, _known: str) -> Any:
    with importing.LOCK:
        from accelerate.tracking import TensorBoardTracker

    return TensorBoardTracker("tensorboard", logging_dir=folder)


def _make_mlflow(folder: Path, name: str, known: str) -> Any:
    # MLflow tells its makers of every use, unless it is told not to before it is imported.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with importing.LOCK:
        from accelerate.tracking import MLflowTracker

    artifacts = None
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        importing.load("mlflow").set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        artifacts = (folder / "mlflow").as_uri()
    return MLflowTracker(_PROJECT, logging_dir=artifacts, run_id=known or None, run_name=name)


def _make_wandb(folder: Path, name: str, known: str) -> Any:
    with importing.LOCK:
        from accelerate.tracking import WandBTracker

    # What a run prints may name images, and a command line may name folders: they stay here.
    quiet = {"console": "off", "disable_code": True, "disable_git": True}
    quiet |= {"x_disable_meta": True, "x_disable_stats": True}
    return WandBTracker(
        _PROJECT,
        name=name,
        id=known or None,
        resume="allow" if known else None,
        dir=str(folder),
        settings=quiet,
    )


TRACKERS: dict[str, TrackerKind] = {
    "tensorboard": TrackerKind(
        "TensorBoard", "tensorboard", _make_tensorboard, lambda _: "tensorboard"
    ),
    "mlflow": TrackerKind(
        "MLflow", "mlflow", _make_mlflow, lambda one: str(one.tracker.info.run_id)
    ),
    "wandb": TrackerKind("W&B", "wandb", _make_wandb, lambda one: str(one.tracker.id)),
}


def check_trackers(config: TrainConfig) -> None:
    """Raise ConfigError for a tracker that is unknown, or whose package is not installed."""
    for name in config.trackers:
        if name not in TRACKERS:
            known = ", ".join(TRACKERS)
            raise ConfigError("trackers", expected=f"some of {known}", found=repr(name))
        kind = TRACKERS[name]
        if find_spec(kind.package) is None:
            raise ConfigError(
                "trackers",
                expected=f"the package {kind.package}, which {kind.title} needs",
                found="that it is not installed",
                advice=f"Install it (pip install {kind.package}), or leave {kind.title} out.",
            )


# ---- the trackers of a run ----------------------------------------------------------------------


class Trackers:
    """The trackers that a run's config names; they begin with `start`, and `close` ends them."""

    def __init__(self, config: TrainConfig, run: RunFolder) -> None:
        self._config = config
        self._name = run.name
        self._folder = run.path / "trackers"
        self._running: dict[str, Any] = {}

    def start(self) -> None:
        """Start all trackers; raises ConfigError where one cannot be, such as without a login."""
        if not self._config.trackers:
            return
        with importing.LOCK:
            from accelerate import PartialState

        # The classes of Accelerate ask it for the main process.
        PartialState(cpu=self._config.device == "cpu")
        make_folder(self._folder)
        for name in dict.fromkeys(self._config.trackers):
            try:
                self._start(name)
            except Exception as error:  # each library raises kinds of its own
                raise ConfigError(
                    "trackers",
                    expected=f"{TRACKERS[name].title} to begin",
                    found=_sentence(error),
                    advice="See to its settings and login, or leave it out.",
                ) from error

    def log(self, line: Mapping[str, object], step: int) -> list[str]:
        """Log the numbers of a line of the metrics log; return notes of trackers that failed.

        One that failed is not asked again: a training does not end because of it.
        """
        numbers = {
            name: float(value)
            for name, value in line.items()
            if name not in _PLACE and isinstance(value, int | float)
        }
        return [
            f"{TRACKERS[name].title} does not log any more: {error}"
            for name, error in self._ask(lambda tracker: tracker.log(numbers, step=step))
        ]

    def close(self) -> list[str]:
        """End all trackers, which may send what they hold; return notes of those that failed."""
        failed = list(self._ask(lambda tracker: tracker.finish()))
        self._running.clear()
        return [f"{TRACKERS[name].title} did not end well: {error}" for name, error in failed]

    def _start(self, name: str) -> None:
        kind, file = TRACKERS[name], self._folder / f"{name}.id"
        known = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
        tracker = kind.make(self._folder, self._name, known)
        tracker.start()
        self._running[name] = tracker
        if not known:
            tracker.store_init_configuration(settings_of(self._config))
            write_text(file, kind.id_of(tracker))

    def _ask(self, act: Callable[[Any], object]) -> Iterator[tuple[str, str]]:
        """Ask every tracker for something; give the name and the error of those that failed."""
        for name, tracker in list(self._running.items()):
            try:
                act(tracker)
            except Exception as error:  # each library raises kinds of its own
                del self._running[name]
                yield name, _sentence(error)


def settings_of(config: TrainConfig) -> dict[str, str | int | float | bool]:
    """Return the settings by dotted name, of folders and files only the last part."""
    values = config.model_dump(mode="json")
    for name in ("data", "start"):
        if Path(values[name]).is_absolute():
            values[name] = Path(values[name]).name
    return dict(_flat(values, ""))


def _flat(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, str | int | float | bool]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            plain = value if isinstance(value, str | int | float | bool) else str(value)
            yield f"{prefix}{name}", plain


def _sentence(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0][:200]}" if said else type(error).__name__
