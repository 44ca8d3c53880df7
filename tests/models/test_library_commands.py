"""Adding, naming and listing models on the command line and in the library."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fracture_core.cli import app
from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models import library
from fracture_core.models.families import family_of, installed
from fracture_core.models.speed import measure
from tests.support.yolo_files import image, sample, save_checkpoint, yolo_network


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(yolo_network("yolov8n.yaml"), tmp_path_factory.mktemp("w") / "net.pt")


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.exception
    return done.stdout


def test_a_file_is_added_with_names_of_ones_own(weights: Path) -> None:
    said = run("add-model", str(weights), "--classes", "a, b,c", "--title", "Mine", "--id", "mine")
    assert said == "mine: yolo, detect, 3 classes\n"
    card = library.list_cards()[-1]
    assert (card.title, card.classes) == ("Mine", ("a", "b", "c"))
    assert library.weights_bytes(card) == weights.stat().st_size


def test_a_name_is_added_and_reads_the_same_when_opened() -> None:
    run("add-model", "scratch:tiny", "--id", "tiny")
    added, named = library.open_model("tiny"), library.open_model("scratch:tiny")
    first, second = (model.predict([sample(image())])[0].detections for model in (added, named))
    assert first.scores.tolist() == second.scores.tolist()
    assert first.xyxy.tolist() == second.xyxy.tolist()


def test_models_are_listed_for_people_and_programs(weights: Path) -> None:
    run("add-model", str(weights))
    assert "net   yolo, detect, 3 classes" in run("models")
    listed = json.loads(run("models", "--json"))
    assert "scratch_detr" in listed["families"]
    assert [card["model_id"] for card in listed["models"]] == ["fake", "net"]
    assert listed["broken"] == []


def test_a_broken_folder_is_listed_and_stops_nothing(home: Path) -> None:
    (home / "models" / "half").mkdir(parents=True)
    assert "half: expected a card.json" in run("models")


def test_renaming_keeps_the_weights(weights: Path) -> None:
    card = library.add_model(weights)
    assert library.rename_model(card.model_id, " Second ").title == "Second"
    assert library.open_model(card.model_id).card.title == "Second"


@pytest.mark.parametrize("title", ["", "  "])
def test_a_model_needs_a_name(weights: Path, title: str) -> None:
    card = library.add_model(weights)
    with pytest.raises(ConfigError, match="a name for the model"):
        library.rename_model(card.model_id, title)


def test_the_built_in_model_stays() -> None:
    with pytest.raises(ConfigError, match="a built-in one"):
        library.delete_model("fake")
    with pytest.raises(ConfigError, match="a built-in one"):
        library.rename_model("fake", "Real")


@pytest.mark.parametrize(
    ("name", "family"),
    [
        *((each.example, each.name) for each in installed().families.values() if each.example),
        ("scratch:random", "scratch_detr"),
        ("facebook/detr-resnet-50", "hf_detr"),
        ("rt_detr:tiny", "hf_detr"),
        ("YOLO11N.YML", "yolo"),
    ],
)
def test_every_kind_of_name_has_its_family(name: str, family: str) -> None:
    assert family_of(name) == family


def test_an_unknown_name_says_what_names_look_like() -> None:
    with pytest.raises(ConfigError, match="facebook/detr-resnet-50"):
        library.open_model("nonsense")


def test_absent_weights_say_where_to_fetch_them(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="ultralytics/assets/releases"):
        library.open_model("yolo11n.pt")


def test_a_failed_name_leaves_nothing_behind(home: Path) -> None:
    with pytest.raises(ConfigError):
        library.add_named("scratch:enormous")
    models = home / "models"
    assert not models.exists() or list(models.iterdir()) == []


def test_speed_is_a_median_of_counted_runs() -> None:
    speed = measure(library.open_model("fake"), sample(image()), repeats=3)
    assert speed.repeats == 3
    assert 0 < speed.seconds < 5


def test_a_hugging_face_folder_is_added_with_its_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "detr"
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    config = DetrConfig(
        backbone_config=backbone,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=5,
        id2label={0: "wrist", 1: "hip"},
        label2id={"wrist": 0, "hip": 1},
    )
    DetrForObjectDetection(config).save_pretrained(folder)
    (folder / "README.md").write_text("not needed")
    run("add-model", str(folder), "--family", "hf_detr")
    card = library.list_cards()[-1]
    assert card.classes == ("wrist", "hip")
    assert library.open_model(card.model_id).predict([sample(image())])
    with pytest.raises(WeightsError, match="found a folder"):
        library.add_model(folder, family_name="yolo")
