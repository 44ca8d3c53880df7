"""Columns on disk: what is written comes back, and no file takes more than it has."""

import io
import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fracture_core import masks
from fracture_core.errors import ConfigError
from fracture_core.evaluations.array_files import are_sound, read_arrays, write_arrays
from fracture_core.evaluations.attributes import Attribute
from fracture_core.evaluations.evaluation import MOST_MERGED, merge
from fracture_core.evaluations.labelling import label
from fracture_core.evaluations.storing import (
    GroundTruthBuilder,
    GroundTruths,
    Predictions,
    pick_ground_truths,
    read_ground_truths,
    read_predictions,
    write_ground_truths,
    write_predictions,
)
from fracture_core.metrics.detection_table import DetectionTable
from fracture_core.models.cards import ModelCard
from fracture_core.types import Detections, Prediction, Sample
from tests.support.dial_evaluations import detector
from tests.support.strategies import SIZE, detections, thresholds

SIZES = np.array([[SIZE, SIZE]] * 4)
KINDS = {"numbers": ("<f4", 1)}


def assert_same(one: DetectionTable, two: DetectionTable) -> None:
    assert (one.image_count, one.masks) == (two.image_count, two.masks)
    for name in ("image", "xyxy", "scores", "labels", "crowd"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        assert getattr(one, name).dtype == getattr(two, name).dtype


def masked(found: Detections) -> Detections:
    cut = np.zeros((SIZE, SIZE), dtype=np.bool_)
    codes = []
    for x1, y1, x2, y2 in found.xyxy.astype(int):
        cut[:] = False
        cut[y1:y2, x1:x2] = True
        codes.append(masks.encode(cut))
    return Detections.of(found.xyxy, found.scores, found.labels, tuple(codes))


def prediction(found: Detections, place: int, scores: list[float] | None = None) -> Prediction:
    return Prediction(
        model_id="m",
        sample_id=f"s{place}",
        detections=found,
        image_score=0.5,
        seconds=0.25,
        class_scores=None if scores is None else np.array(scores, dtype=np.float32),
    )


@settings(deadline=None)
@given(st.lists(detections(), min_size=1, max_size=4), st.booleans())
def test_answers_come_back_as_they_were(images, outlined):
    said = [masked(each) if outlined else each for each in images]
    predictions = Predictions.of(
        range(len(said)), [prediction(each, k) for k, each in enumerate(said)]
    )
    path = Path("answers.npz")
    with memory(path) as stored:
        write_predictions(predictions, stored)
        again = read_predictions(stored, SIZES)
    assert_same(again.raw, predictions.raw)
    np.testing.assert_array_equal(again.positions, predictions.positions)
    assert again.seconds.tolist() == [0.25] * len(said)
    assert again.class_scores.shape == (len(said), 0)


class memory:  # noqa: N801 - reads like a function
    """A path in a folder of its own, for hypothesis has no fixture a run."""

    def __init__(self, name: Path) -> None:
        self._name = name

    def __enter__(self) -> Path:
        import tempfile

        self._folder = tempfile.TemporaryDirectory()
        return Path(self._folder.name) / self._name

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


@settings(deadline=None)
@given(st.lists(detections(), min_size=2, max_size=4))
def test_parts_joined_are_one(images):
    parts = [Predictions.of([k], [prediction(each, k)]) for k, each in enumerate(images)]
    joined = Predictions.joined(parts)
    assert_same(joined.raw, DetectionTable.of(images))
    assert joined.positions.tolist() == list(range(len(images)))


@settings(deadline=None)
@given(st.lists(detections(most=30), max_size=5), thresholds)
def test_images_are_merged_at_once_as_one_by_one(images, nms_iou):
    expected = DetectionTable.of([each.nms(nms_iou) for each in images])
    assert_same(merge(DetectionTable.of(images), nms_iou), expected)


def test_merging_in_blocks_changes_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    images = []
    for _ in range(40):
        low = rng.uniform(0, 40, (30, 2))
        xyxy = np.concatenate([low, low + rng.uniform(5, 20, (30, 2))], axis=1)
        scores = np.sort(rng.uniform(0.01, 1, 30).astype(np.float32))[::-1]
        images.append(Detections.of(xyxy, scores, rng.integers(0, 3, 30)))
    expected = DetectionTable.of([each.nms(0.3) for each in images])
    for rows in (1, 17, 64, 10_000):
        monkeypatch.setattr("fracture_core.evaluations.evaluation.ROWS_AT_ONCE", rows)
        assert_same(merge(DetectionTable.of(images), 0.3), expected)


def test_truths_come_back_as_they_were(tmp_path):
    builder = GroundTruthBuilder()
    for place, name in enumerate(("a", "größer/ü.png", "", "d")):
        builder.sample_ids.append(name)
        builder.group_ids.append(f"patient {place // 2}")
        builder.sizes_px.append((100 + place, 50))
        builder.image_classes.append(place - 1)
        builder.known.append(place != 1)
        builder.spacing_mm.append((0.2, 0.1) if place else (np.nan, np.nan))
        builder.attributes.append({"body part": "größer"} if place == 2 else {})
        box = Detections.ground_truth([[0, 0, place + 1, 5]], [place])
        builder.boxes.append(Detections.empty() if place == 1 else box)
    ground_truths = builder.build()
    write_ground_truths(ground_truths, tmp_path / "truths.npz")
    again = read_ground_truths(tmp_path / "truths.npz")
    assert (again.sample_ids, again.group_ids) == (
        ground_truths.sample_ids,
        ground_truths.group_ids,
    )
    for name in ("sizes_px", "known", "image_classes"):
        np.testing.assert_array_equal(getattr(again, name), getattr(ground_truths, name))
    np.testing.assert_allclose(again.spacing_mm, ground_truths.spacing_mm)
    [body_part] = again.attributes
    assert (body_part.name, body_part.values) == ("body part", ("größer",))
    assert body_part.codes.tolist() == [-1, -1, 0, -1]
    assert_same(again.boxes, ground_truths.boxes)
    some = pick_ground_truths(again, np.array([0, 3]))
    assert some.sample_ids == ("a", "d")
    assert (len(some.spacing_mm), some.attributes[0].codes.tolist()) == (2, [-1, -1])
    assert some.boxes.image.tolist() == [0, 1]
    assert some.boxes.labels.tolist() == [0, 3]


def test_outlines_of_some_truths_alone_are_not_kept():
    builder = GroundTruthBuilder()
    box = Detections.ground_truth([[0, 0, 4, 5]], [0])
    for place, boxes in enumerate((box, masked(box))):
        builder.sample_ids.append(f"{place}")
        builder.group_ids.append("")
        builder.sizes_px.append((SIZE, SIZE))
        builder.image_classes.append(-1)
        builder.known.append(True)
        builder.spacing_mm.append((1.0, 1.0))
        builder.attributes.append({})
        builder.boxes.append(boxes)
    assert builder.build().boxes.masks == ()


def test_an_evaluation_from_before_attributes_were_stored_has_none(tmp_path):
    path = tmp_path / "truths.npz"
    ground_truths = GroundTruths(
        sample_ids=("a",),
        group_ids=("",),
        sizes_px=np.array([[SIZE, SIZE]]),
        known=np.array([True]),
        image_classes=np.array([-1]),
        boxes=DetectionTable.of([Detections.empty()]),
        spacing_mm=np.array([[1.0, 1.0]]),
        attributes=(Attribute.from_texts("view", ["frontal"]),),
    )
    write_ground_truths(ground_truths, path)
    assert read_ground_truths(path).attributes[0].groups == ("frontal",)
    with np.load(path) as stored:
        older = {
            name: stored[name]
            for name in stored
            if not name.startswith("attribute") and name != "spacing_mm"
        }
    np.savez(path, **older)
    again = read_ground_truths(path)
    assert again.attributes == ()
    assert np.isnan(again.spacing_mm).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attribute_codes", np.array([[1]], dtype="<i4")),
        ("attribute_codes", np.array([[0, 0]], dtype="<i4")),
        ("attribute_value_counts", np.array([2], dtype="<i4")),
        ("spacing_mm", np.array([[0, 1]], dtype="<f4")),
    ],
)
def test_attributes_that_make_no_sense_are_an_error(tmp_path, name, value):
    path = tmp_path / "truths.npz"
    builder = GroundTruthBuilder(
        sample_ids=["a"],
        group_ids=[""],
        sizes_px=[(SIZE, SIZE)],
        image_classes=[-1],
        known=[True],
        boxes=[Detections.empty()],
        spacing_mm=[(1.0, 1.0)],
        attributes=[{"view": "frontal"}],
    )
    write_ground_truths(builder.build(), path)
    with np.load(path) as stored:
        changed = {each: stored[each] for each in stored} | {name: value}
    np.savez(path, **changed)
    with pytest.raises(ConfigError):
        read_ground_truths(path)


# ---- hostile files ------------------------------------------------------------------------------


def stored_member(path: Path, data: bytes, packing: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as file:
        file.writestr("numbers.npy", data)
    return path


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def claiming(shape: str) -> bytes:
    honest = npy(np.zeros(4, dtype="<f4"))
    return honest.replace(b"(4,), }", f"({shape}), }}".encode())


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


HOSTILE = {
    "no zip at all": lambda path: path.write_bytes(b"nothing of the kind"),
    "empty": lambda path: path.write_bytes(b""),
    "another name": lambda path: write_arrays(path, {"other": np.zeros(2, dtype="<f4")}),
    "packed": lambda path: stored_member(path, npy(np.zeros(9, dtype="<f4")), zipfile.ZIP_DEFLATED),
    "another type": lambda path: write_arrays(path, {"numbers": np.zeros(2, dtype="<f8")}),
    "another shape": lambda path: write_arrays(path, {"numbers": np.zeros((2, 2), dtype="<f4")}),
    "a pickle": lambda path: stored_member(path, npy(np.array([Trap()], dtype=object))),
    "a bare pickle": lambda path: path.write_bytes(pickle.dumps(Trap())),
    "more than it has": lambda path: stored_member(path, claiming("10**15,")),
    "terabytes": lambda path: stored_member(path, claiming("1000000000000,")),
    "less than nothing": lambda path: stored_member(path, claiming("-4,")),
    "cut off": lambda path: stored_member(path, npy(np.zeros(9, dtype="<f4"))[:-3]),
    "no header": lambda path: stored_member(path, b"\x93NUMPY\x01\x00"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_one_sentence(tmp_path, kind):
    path = tmp_path / "answers.npz"
    HOSTILE[kind](path)
    with pytest.raises(ConfigError, match=r"^answers\.npz: expected") as caught:
        read_arrays(path, KINDS)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_arrays(tmp_path / "answers.npz", KINDS)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("counts", lambda array: array + 1),
        ("counts", lambda array: array * np.array([-1, 3], dtype=array.dtype)),
        ("scores", lambda array: array * np.float32("nan")),
        ("scores", lambda array: array[::-1].copy()),
        ("scores", lambda array: array + np.float32(2)),
        ("xyxy", lambda array: array[:, ::-1].copy()),
        ("xyxy", lambda array: array + np.float32("inf")),
        ("labels", lambda array: array - 9),
        ("mask_lengths", lambda array: array + 1),
        ("mask_lengths", lambda array: array - 1000),
        ("mask_lengths", lambda array: array + np.array([1, -1, 0, 0], dtype=array.dtype)),
        ("masks", lambda array: array ^ 1),
        ("masks", lambda array: array | 128),
        ("masks", lambda array: array | 32),
        ("masks", lambda array: np.full_like(array, 48)),
        ("positions", lambda array: array[::-1].copy()),
        ("positions", lambda array: array + 9),
        ("image_scores", lambda array: array + np.float32("nan")),
        ("class_scores", lambda array: array[:1]),
    ],
)
def test_numbers_that_make_no_sense_are_refused(tmp_path, name, change):
    boxes = Detections.of([[0, 0, 4, 5], [1, 1, 3, 9]], [0.9, 0.2], [0, 1])
    predictions = Predictions.of(
        [0, 2], [prediction(masked(boxes), 0), prediction(masked(boxes), 2)]
    )
    path = tmp_path / "answers.npz"
    write_predictions(predictions, path)
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    arrays[name] = change(arrays[name])
    write_arrays(path, arrays)
    with pytest.raises(ConfigError, match=r"^answers\.npz: expected"):
        read_predictions(path, SIZES)


@settings(deadline=None)
@given(st.lists(hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))), max_size=6))
def test_codes_of_masks_are_sound(drawn):
    codes = [masks.encode(each).counts for each in drawn]
    lengths = np.array([len(code) for code in codes], dtype=np.int64)
    pixels = np.array([each.size for each in drawn], dtype=np.int64)
    joined = np.frombuffer(b"".join(codes), dtype=np.uint8)
    assert are_sound(joined, lengths, pixels)
    if len(drawn):
        assert not are_sound(joined, lengths, pixels + 1)


def test_codes_of_large_masks_are_sound(monkeypatch):
    """Runs of several characters, falling and rising, in several blocks."""
    monkeypatch.setattr("fracture_core.evaluations.array_files._BYTES_AT_ONCE", 100)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(20):
        mask = np.zeros((1500, 900), dtype=np.bool_)
        for x, y, wide, high in rng.integers(1, 700, (4, 4)):
            mask[y : y + high, x : x + wide] ^= True
        drawn.append(masks.encode(mask).counts)
    lengths = np.array([len(code) for code in drawn], dtype=np.int64)
    joined = np.frombuffer(b"".join(drawn), dtype=np.uint8)
    pixels = np.full(20, 1500 * 900)
    assert are_sound(joined, lengths, pixels)
    assert not are_sound(joined, lengths, np.append(pixels[1:], 9))


# ---- what labels mean ---------------------------------------------------------------------------


def card(*classes: str, task: str = "detect", healthy: str = "") -> ModelCard:
    return ModelCard(
        model_id="m",
        title="M",
        family="yolo",
        task=task,
        classes=classes,
        input_size=64,
        needs_nms=False,
        architecture={"healthy": healthy} if healthy else {},
    )


def data(*classes: str) -> SimpleNamespace:
    return SimpleNamespace(name="set", classes=classes)


def sample(ground_truth: list[int] | None, image_class: int | None = None) -> Sample:
    boxes = None
    if ground_truth is not None:
        boxes = Detections.ground_truth([[0, 0, 5, 5]] * len(ground_truth), ground_truth)
    return Sample(
        sample_id="s",
        group_id="g",
        height=9,
        width=9,
        read=lambda: np.zeros((9, 9), dtype=np.uint8),
        ground_truth=boxes,
        image_class=image_class,
    )


def test_the_models_classes_come_first():
    found = label(card("b", "A"), data("a", "c"), one_class=False)
    assert found.classes == ("b", "A", "c")
    assert found.model_classes == 2
    assert found.ground_truth(sample([0, 1])).labels.tolist() == [1, 2]
    assert found.answered == (0, 1)


def test_one_class_is_named_after_the_models_only_one():
    assert label(card("fracture"), data("a", "c"), one_class=True).classes == ("fracture",)
    found = label(card("x", "y"), data("a", "c"), one_class=True)
    assert found.classes == ("finding",)
    assert found.ground_truth(sample([0, 1])).labels.tolist() == [0, 0]
    assert found.answered == (0, 0)


def test_a_classifier_is_judged_by_the_class_of_the_image():
    found = label(
        card("none", "a", task="classify", healthy="none"), data("a", "c"), one_class=False
    )
    assert found.classes == ("none", "a", "c")
    expected = {
        "a": (sample([0], 0), 1),
        "a class that it does not know": (sample([1], 1), 2),
        "nothing there": (sample([]), 0),
        "unknown": (sample(None), -1),
        "known, but not where": (sample(None, 0), 1),
    }
    for words, (image, image_class) in expected.items():
        assert found.image_class(image) == image_class, words


def test_without_a_healthy_class_a_image_without_findings_is_of_no_class():
    found = label(card("a", "b", task="classify"), data("a", "b"), one_class=False)
    assert found.healthy == ""
    assert found.image_class(sample([])) == -1
    assert found.image_class(sample([1], 1)) == 1


def test_a_classifier_of_two_classes_is_judged_by_any_finding():
    two = card("fracture", "healthy", task="classify", healthy="healthy")
    found = label(two, data("oblique", "spiral"), one_class=False)
    assert (found.classes, found.healthy) == (("fracture", "healthy"), "healthy")
    assert [found.image_class(each) for each in (sample([1]), sample([]), sample(None))] == [
        0,
        1,
        -1,
    ]


def test_a_classifier_of_more_classes_can_be_judged_as_one_of_two():
    three = card("healthy", "a", "b", task="classify", healthy="healthy")
    with pytest.raises(ConfigError, match="With one class"):
        label(three, data("x"), one_class=False)
    found = label(three, data("x"), one_class=True)
    assert found.classes == ("healthy", "finding")
    assert found.answered == (0, 1, 1)


def test_a_classifier_without_a_healthy_class_needs_a_class_in_common():
    with pytest.raises(ConfigError, match="only where one of them means healthy"):
        label(card("x", "y", task="classify"), data("a"), one_class=False)


def test_of_many_ways_to_merge_a_few_are_kept():
    evaluation = detector(1, [(0, 0, 0.9, 0), (0, 1, 0.8, 0)], [], needs_nms=True)
    counts = [len(evaluation.found(n / 10)) for n in range(11)]
    assert counts == [1] * 9 + [2, 2]
    assert len(evaluation._merged) == MOST_MERGED
    assert evaluation.found(1.0) is evaluation.found(1.0)
