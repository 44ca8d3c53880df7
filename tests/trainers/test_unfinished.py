"""The best checkpoint of a run that did not end, as a model of the library, and its images."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fracture_core.datasets.images import size_of
from fracture_core.demo import write_demo
from fracture_core.errors import ConfigError
from fracture_core.models import library
from fracture_core.runs import RunFolder
from fracture_core.settings import settings
from tests.support.tiny_runs import TINY_DETR
from trainers import best_images
from trainers.__main__ import app
from trainers.checkpoints import BEST, load_state
from trainers.running import make_run, train_run
from trainers.unfinished import add_run
from trainers.validation import best_so_far

TINY = {**TINY_DETR, "epochs": 3, "monitor": "loss", "merge_classes": "fracture"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=16, size=(128, 128))


def stopped_run(demo: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run that was asked to stop after its first epoch."""
    run = make_run(settings().runs / name, "r3-detr-scratch", str(demo), TINY)

    def has_best() -> bool:
        return (run.checkpoints / BEST).is_file()

    monkeypatch.setattr("trainers.running.stop_on_signal", lambda: _Given(has_best))
    assert train_run(run) is None
    return run


class _Given:
    def __init__(self, value: object) -> None:
        self.value = value

    def __enter__(self) -> object:
        return self.value

    def __exit__(self, *_: object) -> None:
        pass


def test_a_stopped_run_is_added_and_its_card_says_so(demo, monkeypatch):
    run = stopped_run(demo, "early", monkeypatch)
    done = CliRunner().invoke(app, ["add", "early"])
    assert done.exit_code == 0, done.exception
    (card,) = [each for each in library.list_cards() if each.model_id == "early"]
    assert card.title == "early (stopped)"
    assert card.note.startswith("Stopped: the training did not end. These are the weights of epoch")
    best = load_state(run.checkpoints / BEST)[1]
    assert f"epoch {best.best_epoch} of 3" in card.note
    assert card.metrics == {"val loss": best.best}
    assert card.operating_points == {}
    assert not run.card.exists()
    weights = (library.open_model("early"), best_so_far(run))
    first, second = (model._network.state_dict() for model in weights)
    assert all((first[name] == second[name]).all() for name in first)
    assert not [path for path in settings().models.iterdir() if path.name.startswith(".")]
    assert add_run(run.path).model_id == "early-2"


def test_a_run_without_a_checkpoint_is_refused(demo):
    run = make_run(settings().runs / "new", "r3-detr-scratch", str(demo), TINY)
    with pytest.raises(ConfigError, match="a run with a best checkpoint"):
        add_run(run.path)


def test_each_best_epoch_keeps_its_images_and_old_ones_go(demo, monkeypatch):
    monkeypatch.setattr(best_images, "MOST_KEPT", 2)
    run = make_run(settings().runs / "seen", "r3-detr-scratch", str(demo), TINY)
    assert train_run(run) is not None
    best = [line["epoch"] for line in run.read_metrics() if line.get("best")]
    kept = [path.name for path in run.best_images()]
    assert kept == [f"best-epoch-{epoch:04}.png" for epoch in best][-2:]
    height, width = size_of(run.best_images()[-1], "")
    assert width > 4 * 200
    assert height > 200
