"""Explanations are matched by what they do to the model, on a model of which all is known."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from fracture_core.explanations import Faithfulness, energy_inside, explain
from fracture_core.models.cards import ModelCard
from fracture_core.types import Detections, Heatmap, Prediction, Sample

SIZE = 96
BOX = (48, 16, 80, 48)
CARD = ModelCard(
    model_id="patch",
    title="Brightness of one patch",
    family="patch",
    task="detect",
    classes=("bright",),
    input_size=96,
    needs_nms=False,
)


def place(xyxy) -> np.ndarray:
    values = np.zeros((SIZE, SIZE), dtype=np.float32)
    left, top, right, bottom = xyxy
    values[top:bottom, left:right] = 1
    return values


@dataclass(frozen=True)
class PatchModel:
    """Scores the contrast of BOX alone, and explains itself by `where` it is told to."""

    where: tuple[int, int, int, int] = BOX
    moves: bool = True
    card: ModelCard = CARD

    def predict(self, samples) -> list[Prediction]:
        return [self._predict(sample) for sample in samples]

    def _predict(self, sample: Sample) -> Prediction:
        patch = sample.shown()[BOX[1] : BOX[3], BOX[0] : BOX[2]]
        score = float(np.clip(patch.std() / 128, 0.01, 1))
        return Prediction(
            model_id="patch",
            sample_id=sample.sample_id,
            detections=Detections.of([BOX], [score], [0]),
            image_score=score,
            seconds=0,
        )

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        return Heatmap.of(place(self.where), method="told", target="bright")

    def with_random_weights(self, seed: int) -> "PatchModel":
        return replace(self, where=(8, 60, 40, 92)) if self.moves else self


@pytest.fixture
def sample() -> Sample:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
    return Sample(sample_id="s", group_id="g", height=SIZE, width=SIZE, read=lambda: pixels)


def checked(model: PatchModel, sample: Sample, index: int | None = 0) -> Faithfulness:
    prediction = model.predict([sample])[0]
    return explain(model, sample, prediction, index).faithfulness


def test_a_true_map_passes(sample: Sample) -> None:
    found = checked(PatchModel(), sample)
    assert found.energy_inside == 1
    assert found.box_share == pytest.approx(32 * 32 / SIZE**2)
    assert found.deletion < found.random_deletion
    assert found.insertion > found.random_insertion
    assert found.failures == ()
    assert found.verdict == "checks passed"


def test_a_map_of_another_place_does_not_localise(sample: Sample) -> None:
    found = checked(PatchModel(where=(0, 64, 32, 96)), sample)
    assert found.energy_inside == 0
    assert found.verdict == "does not localise"
    assert found.deletion > found.random_deletion
    assert found.insertion < found.random_insertion


def test_a_map_that_random_weights_give_too_is_found_out(sample: Sample) -> None:
    found = checked(PatchModel(moves=False), sample)
    assert found.with_random_weights == pytest.approx(1)
    assert found.verdict == "not faithful"
    assert found.failures == ("Random weights give much the same map.",)


def test_a_map_of_one_value_does_not_localise(sample: Sample) -> None:
    found = checked(PatchModel(where=(0, 0, SIZE, SIZE)), sample)
    assert found.energy_inside == pytest.approx(found.box_share)
    assert found.verdict == "does not localise"


def test_a_whole_image_has_no_box_to_gather_in(sample: Sample) -> None:
    found = checked(PatchModel(), sample, index=None)
    assert found.energy_inside is None
    assert found.verdict == "checks passed"


def test_energy_by_hand() -> None:
    heatmap = Heatmap.of([[1, 1, 0], [2, 0, 0]], method="m", target="t")
    assert energy_inside(heatmap, np.array([0, 0, 1, 2], dtype=np.float32)) == 3 / 4
    empty = Heatmap.of(np.zeros((2, 3)), method="m", target="t")
    assert energy_inside(empty, np.array([0, 0, 1, 2], dtype=np.float32)) == 0


def test_the_same_case_is_judged_the_same(sample: Sample) -> None:
    assert checked(PatchModel(), sample) == checked(PatchModel(), sample)


def test_progress_ends_at_one(sample: Sample) -> None:
    shares: list[float] = []
    model = PatchModel()
    explain(model, sample, model.predict([sample])[0], 0, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
