"""Trackers: asked for by name, told every epoch, and never the end of a training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accelerate.tracking import GeneralTracker

from fracture_core.demo import write_demo
from fracture_core.errors import ConfigError
from fracture_core.runs import RunFolder, new_run
from tests.support.yolo_trainings import DETECT, config_of
from trainers import trackers
from trainers.family_configs import make_config
from trainers.metrics_log import MetricsLog
from trainers.preflight import preflight
from trainers.recipes import find_recipe
from trainers.running import make_run, train_run
from trainers.trackers import TRACKERS, TrackerKind, Trackers, check_trackers, settings_of

LINE = {"phase": 1, "epoch": 1, "of": 2, "step": 3, "steps": 3, "loss": 0.5, "best": True}


class Recorder(GeneralTracker):
    """A tracker as Accelerate lets anybody write one: it keeps what it is told."""

    name = "recorder"
    requires_logging_directory = False

    def __init__(self, known: str) -> None:
        super().__init__()
        self.known = known
        self.told: list[object] = []

    @property
    def tracker(self) -> "Recorder":
        return self

    def start(self) -> None:
        self.told.append("start")

    def store_init_configuration(self, values: dict) -> None:
        self.told.append(values)

    def log(self, values: dict, step: int | None = None, **_: object) -> None:
        self.told.append((step, values))

    def finish(self) -> None:
        self.told.append("finish")


Made = list[Recorder]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """The recorders that were made, one each time that a run starts."""
    found: Made = []

    def make(_folder: Path, _name: str, known: str) -> Recorder:
        found.append(Recorder(known))
        return found[-1]

    kind = TrackerKind("Recorder", "json", make, lambda _: "its id")
    monkeypatch.setitem(TRACKERS, "recorder", kind)
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "set"
    return write_demo(folder, count=12, seed=1, format="yolo", size=(160, 192))


def config_with(*names: str) -> Any:
    return make_config(
        {"family": "resnet", "data": "/home/somebody/set", "trackers": names}, "test"
    )


def test_none_is_asked_for_unless_one_is_chosen() -> None:
    assert find_recipe("r5-resnet").config("data", {}).trackers == ()
    assert find_recipe("r5-yolo-detect").config("data", {}).trackers == ()


def test_an_unknown_tracker_is_refused(tmp_path: Path, demo: Path) -> None:
    words = "trackers: expected some of tensorboard, mlflow, wandb, found 'aim'"
    with pytest.raises(ConfigError, match=words):
        make_run(tmp_path / "run", "r5-resnet", str(demo), {"trackers": ["aim"]})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_package_is_said_before_a_training(
    name: str, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=rf"Install it \(pip install {name}\)"):
        check_trackers(config_with(name))
    (found,) = preflight(config_of(demo, DETECT, trackers=[name])).findings
    assert (found.level, f"pip install {name}" in found.text) == ("error", True)


@pytest.mark.parametrize(
    "recipe", ["r3-detr-scratch", pytest.param("r5-yolo-detect", marks=pytest.mark.slow)]
)
def test_a_run_tells_its_trackers_every_epoch(
    recipe: str, demo: Path, tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.running.finalise", lambda *_: None)
    changes = {"start": "", "input_size": 64, "epochs": 1, "device": "cpu", "monitor": "loss"}
    networks = {
        "r3-detr-scratch": {"backbone": "resnet18", "backbone_width": 8, "width": 32},
        "r5-yolo-detect": DETECT,
    }
    of_network = {f"network.{name}": value for name, value in networks[recipe].items()}
    asked = {**changes, **of_network, "trackers": ["recorder"], "batch": 4}
    run = make_run(tmp_path / "run", recipe, str(demo), asked)
    train_run(run)
    (recorder,) = made
    began, settings, *epochs, ended = recorder.told
    assert (began, ended) == ("start", "finish")
    assert isinstance(settings, dict)
    assert (settings["epochs"], settings["data"]) == (1, "set")
    logged = [line for line in run.read_metrics() if line["kind"] == "epoch"]
    for step, line, told in zip((0, 1), logged, epochs, strict=True):
        assert told[0] == step
        assert told[1]["val_loss"] == line["val_loss"]
        assert told[1].get("loss") == line.get("loss")
        assert not told[1].keys() & {"phase", "epoch", "step", "kind", "best"}


def test_a_resumed_run_goes_on_under_its_id(tmp_path: Path, made: Made) -> None:
    run = new_run(tmp_path / "run")
    for number in (1, 2):
        with MetricsLog(run, Trackers(config_with("recorder"), run)) as log:
            log.rewind(phase=1, epoch=number, step=0)
            log.start_trackers()
            log.epoch({**LINE, "epoch": number})
    assert [one.known for one in made] == ["", "its id"]
    assert made[0].told[2] == (1, {"loss": 0.5})
    # Its settings are told once.
    assert made[1].told == ["start", (2, {"loss": 0.5}), "finish"]


def fail(*_: object, **__: object) -> None:
    raise OSError("the server is away\nfor long")


def test_a_tracker_that_fails_is_a_note_and_not_asked_again(
    tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorder, "log", fail)
    run = new_run(tmp_path / "run")
    with MetricsLog(run, Trackers(config_with("recorder"), run)) as log:
        log.start_trackers()
        for number in (1, 2):
            log.epoch({**LINE, "epoch": number})
    assert [line["text"] for line in run.read_metrics() if line["kind"] == "note"] == [
        "Recorder does not log any more: OSError: the server is away"
    ]
    assert "finish" not in made[0].told


@pytest.mark.parametrize("verb", ["start", "store_init_configuration"])
def test_one_that_cannot_begin_ends_the_run_before_its_first_step(
    verb: str, tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorder, verb, fail)
    run = new_run(tmp_path / "run")
    words = r"trackers: expected Recorder to begin, found OSError: the server is away\."
    log = MetricsLog(run, Trackers(config_with("recorder"), run))
    with pytest.raises(ConfigError, match=words):
        log.start_trackers()
    assert not run.metrics.exists()


def test_no_folder_is_made_where_none_is_asked_for(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    with MetricsLog(run, Trackers(config_with(), run)) as log:
        log.start_trackers()
    assert not list(run.path.iterdir())


def test_settings_are_told_without_the_folders_of_this_machine() -> None:
    config = config_with().model_copy(update={"start": "/home/somebody/weights.pt"})
    found = settings_of(config)
    assert (found["data"], found["start"]) == ("set", "weights.pt")
    assert found["classification.focal_gamma"] == 2.0
    assert not [value for value in found.values() if "somebody" in str(value)]


def log_an_epoch(run: RunFolder, name: str) -> None:
    with MetricsLog(run, Trackers(config_with(name), run)) as log:
        log.start_trackers()
        log.epoch(LINE)
    assert not [line for line in run.read_metrics() if line["kind"] == "note"]


@pytest.fixture
def nothing_is_called(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[object]]:
    called: list[object] = []
    monkeypatch.setattr("socket.getaddrinfo", lambda *to, **_: called.append(to))
    return lambda: called


def test_tensorboard_writes_into_the_run(
    tmp_path: Path, nothing_is_called: Callable[[], list[object]]
) -> None:
    pytest.importorskip("tensorboard")
    run = new_run(tmp_path / "run")
    log_an_epoch(run, "tensorboard")
    assert list((run.path / "trackers" / "tensorboard").glob("events.*"))
    assert not nothing_is_called()


def test_mlflow_writes_into_the_run(
    tmp_path: Path,
    nothing_is_called: Callable[[], list[object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = new_run(tmp_path / "run")
    log_an_epoch(run, "mlflow")
    log_an_epoch(run, "mlflow")
    assert (run.path / "trackers" / "mlflow.db").is_file()
    assert not nothing_is_called()


def test_wandb_writes_into_the_run_where_it_is_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = new_run(tmp_path / "run")
    log_an_epoch(run, "wandb")
    assert list((run.path / "trackers").glob("wandb/offline-run-*"))
