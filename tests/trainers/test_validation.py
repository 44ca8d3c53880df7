"""What the best checkpoint of a run finds, before the run is over."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fracture_core import jobs
from fracture_core.demo import write_demo
from fracture_core.errors import ConfigError
from fracture_core.runs import RunFolder
from fracture_core.settings import settings
from tests.support.tiny_runs import TINY_DETR
from trainers.running import make_run, train_run
from trainers.validation import best_so_far, validation_samples

APP = Path(__file__).parents[2] / "streamlit_app.py"
TINY = {**TINY_DETR, "epochs": 1, "monitor": "loss", "merge_classes": "fracture"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=20, size=(160, 128))


def trained(demo: Path, name: str, recipe: str, **changes: object) -> RunFolder:
    run = make_run(settings().runs / name, recipe, str(demo), changes)
    assert train_run(run) is not None
    return run


def test_the_best_checkpoint_reads_images_it_was_not_trained_on(demo):
    run = trained(demo, "detr", "r3-detr-scratch", **TINY)
    samples = validation_samples(run, 8)
    assert samples
    assert all(sample.split == "val" and len(sample.ground_truth) for sample in samples)
    model = best_so_far(run)
    assert model.card.classes == ("fracture",)
    assert len(model.predict(samples)) == len(samples)


def test_yolo_too(demo):
    changes = {"start": "", "epochs": 1, "input_size": 64, "device": "cpu", "batch": 8}
    run = trained(demo, "yolo", "r5-yolo-detect", **changes, **{"network.name": "yolo11n.yaml"})
    assert best_so_far(run).predict(validation_samples(run, 1))


def test_before_the_first_epoch_there_is_nothing_to_read(demo):
    run = make_run(settings().runs / "new", "r3-detr-scratch", str(demo), TINY)
    with pytest.raises(ConfigError, match=r"best\.pt"):
        best_so_far(run)


def test_the_page_shows_what_it_finds(demo, monkeypatch):
    monkeypatch.setattr(jobs, "tend", lambda: None)
    monkeypatch.setattr("fracture_core.jobs.verbs.tend", lambda: None)
    run = make_run(settings().runs / "seen", "r3-detr-scratch", str(demo), TINY)
    jobs.submit(run.path)
    train_run(run)
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    app.switch_page("pages/train/jobs.py").run()
    next(each for each in app.button if each.label == "Read validation images").click().run()
    assert not app.exception
    assert not app.error
    assert any(" found, " in each.value for each in app.caption)
