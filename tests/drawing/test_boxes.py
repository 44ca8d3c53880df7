"""Boxes, tags and colours drawn into images."""

import itertools

import numpy as np
import pytest
from PIL import Image

from fracture_core.drawing import boxes as drawn_boxes
from fracture_core.drawing.boxes import DrawnBox, draw_boxes, gt_boxes, matched_boxes
from fracture_core.drawing.colours import COLOURS, PALETTES, find_palette, heat_colour, heat_table
from fracture_core.drawing.samples import draw_heat_map, draw_sample
from fracture_core.drawing.sheets import Panel, grid_of, sheet_of
from fracture_core.errors import ConfigError
from fracture_core.masks import encode
from fracture_core.types import Detections, Heatmap, Sample

GT = Detections.ground_truth([[10, 10, 50, 50], [80, 80, 120, 120]], [0, 1])
FOUND = Detections.of(
    [[14, 14, 54, 54], [11, 11, 48, 48], [200, 10, 240, 50]], [0.9, 0.8, 0.3], [0, 0, 1]
)
CLASSES = ("spiral", "a class with a very long name")


def sample(height: int = 100, width: int = 200, value: int = 0) -> Sample:
    pixels = np.full((height, width), value, dtype=np.uint8)
    return Sample(sample_id="a", group_id="a", height=height, width=width, read=lambda: pixels)


def count(image: Image.Image, colour: str) -> int:
    wanted = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return int((np.asarray(image.convert("RGB")) == wanted).all(axis=-1).sum())


def test_boxes_are_told_by_kind_class_and_score() -> None:
    made = matched_boxes(FOUND, GT, CLASSES, class_aware=True)
    assert [(box.kind, box.tag) for box in made] == [
        ("truth", "GT spiral"),
        ("missed", "GT missed a class with a ve…"),
        ("true positive", "TP spiral 0.90"),
        ("duplicate", "dup spiral 0.80"),
        ("false positive", "FP a class with a ve… 0.30"),
    ]


def test_without_ground_truth_nothing_is_true_or_false() -> None:
    assert {box.kind for box in matched_boxes(FOUND, None, CLASSES)} == {"finding"}
    assert [box.tag for box in matched_boxes(FOUND, None, ("one",))] == ["0.90", "0.80", "0.30"]
    assert gt_boxes(None) == ()
    assert [box.kind for box in gt_boxes(GT)] == ["truth", "truth"]


def test_tags_do_not_cover_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    placed: list[tuple[float, float, float, float]] = []
    choose = drawn_boxes._free_place

    def watch(*given: object) -> tuple[float, float, float, float]:
        placed.append(choose(*given))
        return placed[-1]

    monkeypatch.setattr(drawn_boxes, "_free_place", watch)
    heap = [
        DrawnBox(xyxy=(100 + n, 100, 160 + n, 160), kind="finding", tag="0.5") for n in range(8)
    ]
    draw_boxes(Image.new("RGB", (400, 300)), heap)
    assert len(placed) == 8
    assert not any(drawn_boxes._overlap(a, b) for a, b in itertools.combinations(placed, 2))
    assert all(x1 >= 0 and x2 <= 400 and y1 >= 0 and y2 <= 300 for x1, y1, x2, y2 in placed)


def test_published_colours() -> None:
    boxes = matched_boxes(FOUND, GT)
    for name, missed, true in (
        ("viewer", COLOURS["missed"], COLOURS["true positive"]),
        ("r1", "#00ff00", "#ff3030"),
        ("r3", "#ff3030", COLOURS["true positive"]),
    ):
        image = draw_sample(
            sample(200, 300), boxes, side_px=300, palette=PALETTES[name], most_tags=0
        )
        assert count(image, missed) > 50
        assert count(image, true) > 50
    assert [name for name, each in PALETTES.items() if each.best_only] == ["r1"]
    with pytest.raises(ConfigError, match="one of viewer, r1, r3"):
        find_palette("r2")


def test_a_mask_is_tinted_and_a_small_image_enlarged_only_when_asked() -> None:
    mask = np.zeros((100, 200), dtype=np.bool_)
    mask[20:60, 20:60] = True
    image = draw_sample(sample(), (), [(encode(mask), "truth")], side_px=400)
    assert image.size == (200, 100)
    assert image.getpixel((40, 40)) == (30, 64, 82)
    assert image.getpixel((100, 40)) == (0, 0, 0)
    assert draw_sample(sample(), side_px=400, enlarge=True).size == (400, 200)


def test_heat_rises_in_lightness_and_leaves_what_has_none() -> None:
    colours, opaque = heat_table()
    luma = colours @ np.array([0.2126, 0.7152, 0.0722])
    assert (luma[16:] > luma[:-16]).all()
    assert luma[-1] > luma[0] + 120
    assert (opaque[0], opaque[-1]) == (0, 1)
    # As the viewer's own module computes them.
    of_viewer = [(83, 17, 130), (1, 160, 173), (249, 237, 82)]
    assert [heat_colour(share) for share in (0.0, 0.5, 1.0)] == of_viewer
    values = np.zeros((100, 200), dtype=np.float32)
    values[:, 100:] = 1
    plain = draw_sample(sample(value=60), side_px=200)
    mixed = draw_heat_map(plain, Heatmap.of(values, "m", "t"))
    assert mixed.getpixel((20, 50)) == (60, 60, 60)
    strong = mixed.getpixel((180, 50))
    assert strong != (60, 60, 60)
    weak = draw_heat_map(plain, Heatmap.of(values, "m", "t"), weight=0.25).getpixel((180, 50))
    assert abs(weak[0] - 60) < abs(strong[0] - 60)


def test_sheets_have_rows_of_panels_and_wrapped_text() -> None:
    small, large = Image.new("RGB", (100, 80), "#ff0000"), Image.new("RGB", (160, 40), "#00ff00")
    long = "a sentence that is far too long for a column of this width"
    one = sheet_of([[Panel(image=small, lines=("a",)), Panel(image=large, lines=("b",))]])
    wrapped = sheet_of([[Panel(image=small, lines=(long,)), Panel(image=large, lines=("b",))]])
    assert one.width == wrapped.width == 100 + 160 + 3 * 8
    assert wrapped.height > one.height
    assert (count(one, "#ff0000"), count(one, "#00ff00")) == (8000, 6400)
    grid = grid_of([Panel(image=small, lines=("a",))] * 5, 2, footer="")
    assert count(grid, "#ff0000") == 5 * 8000
    assert grid.width == 2 * 100 + 3 * 8
