"""Cases for the viewer to show in the browser tests, made with numpy."""

from dataclasses import replace
from functools import cache

import numpy as np

from fracture_core.errors import ImageError
from fracture_core.masks import encode
from fracture_core.models.cards import ModelCard
from fracture_core.scope import INSIDE, ScopeCheck
from fracture_core.types import Detections, Prediction, Sample, ValueScale, Window
from fracture_core.ui.widgets.case_viewer import Pane
from tests.support.measurements import measured, point

CLASSES = ("fracture", "implant")
HOSTILE = '<img src=x onerror="window.hacked=1">'


def card(classes: tuple[str, ...] = CLASSES, *, needs_nms: bool = True) -> ModelCard:
    return ModelCard(
        model_id="numpy",
        title="Numpy",
        family="fake",
        task="detect",
        classes=classes,
        input_size=640,
        needs_nms=needs_nms,
    )


def image(height: int, width: int, seed: int) -> np.ndarray:
    """A smooth 12 bit ramp with noise and a bright bar."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    values = 600 + 1600 * x / width + 700 * np.sin(y / height * 6 + seed)
    values[:, width // 3 : width // 2] += 900
    noise = rng.normal(0, 60, (height, width))
    return np.clip(values + noise, 0, 4095).astype(np.uint16)


@cache
def sample(name: str, height: int, width: int, seed: int, boxes: tuple | None) -> Sample:
    pixels = image(height, width, seed)
    ground_truth = None
    if boxes is not None:
        corners = np.array(boxes, dtype=np.float32).reshape(-1, 4)
        ground_truth = Detections.ground_truth(corners, np.zeros(len(corners)))
    return Sample(
        sample_id=name,
        group_id="g",
        height=height,
        width=width,
        read=lambda: pixels,
        windows=(Window(center=1800, width=2600, name="Bone"), Window(center=900, width=800)),
        scale=ValueScale(slope=1, offset=-1024, unit="HU"),
        spacing_mm=(0.2, 0.2),
        ground_truth=ground_truth,
    )


@cache
def unreadable(height: int, width: int) -> Sample:
    def read() -> np.ndarray:
        raise ImageError("wrist.png", expected="a whole image", found="half of one")

    return Sample(sample_id="broken", group_id="g", height=height, width=width, read=read)


@cache
def prediction(
    name: str, rows: tuple, height: int, width: int, *, masks: bool = False
) -> Prediction:
    table = np.array(rows, dtype=np.float32).reshape(-1, 6)
    found, _ = Detections.raw(table[:, :4], table[:, 4], table[:, 5], height=height, width=width)
    if masks:
        found = Detections.of(
            found.xyxy, found.scores, found.labels, tuple(map(_ellipse(height, width), found.xyxy))
        )
    return Prediction(
        model_id="numpy", sample_id=name, detections=found, image_score=0.5, seconds=0.0
    )


def _ellipse(height: int, width: int):
    y, x = np.mgrid[0:height, 0:width]

    def mask(box: np.ndarray):
        x1, y1, x2, y2 = box
        u = (x - (x1 + x2) / 2) / (x2 - x1) * 2
        v = (y - (y1 + y2) / 2) / (y2 - y1) * 2
        return encode((u * u + v * v <= 1) & (u * u + v * v >= 0.1))

    return mask


# Of two ground truths the first is found twice (0.90 and 0.60), the second missed; 0.80 is false
# positive, 0.55 overlaps 0.90 with an IoU of 0.81 and is suppressed at 0.5; the rest is weak.
GROUND_TRUTHS = ((100, 100, 200, 220), (300, 260, 380, 330))
ROWS = (
    (104, 98, 204, 224, 0.90, 0),
    (420, 60, 520, 160, 0.80, 0),
    (130, 130, 225, 235, 0.60, 0),
    (108, 106, 206, 230, 0.55, 0),
    (305, 262, 384, 335, 0.31, 0),
    (10, 300, 90, 380, 0.12, 1),
)


# Of the rows above one is solid in "tiers", and one dotted.
MEASURED = {
    "measured": measured(),
    "doubtful": measured(),
    "faint": measured(),
    "measured stack": measured(),
    "strange": measured(),
    "tiers": measured(points=(point("sensitivity ≥ 0.8", 4), point("specificity ≥ 0.95", 1))),
}


# Best scores of a doubt, and of no finding, by the points of `measured`.
WEAKER = {"doubtful": ROWS[2:], "faint": ((10, 300, 90, 380, 0.05, 1),)}
# In "strange" the model was not made for the image.
STRANGE = ScopeCheck(
    standing="outside",
    sentence="This model has never seen images like this: chest",
    held_back=False,
)


HELD = ScopeCheck(
    standing="outside",
    sentence="This model has never seen images like this: MG (mammogram)",
    held_back=True,
)


def many_rows(count: int, height: int, width: int) -> tuple:
    rng = np.random.default_rng(5)
    corner = rng.uniform(0, 0.85, (count, 2)) * (width, height)
    side = rng.uniform(0.02, 0.15, (count, 2)) * (width, height)
    scores = rng.uniform(0.01, 1, (count, 1))
    labels = rng.integers(0, 2, (count, 1))
    table = np.concatenate([corner, corner + side, scores, labels], axis=1)
    return tuple(map(tuple, table.tolist()))


def classifier_pane(sample: Sample, name: str) -> Pane:
    """A classifier that gives the image a score of 0.31."""
    owner = card(("healthy", "fracture")).model_copy(
        update={"task": "classify", "architecture": {"healthy": "healthy"}}
    )
    answer = Prediction(
        model_id="numpy",
        sample_id=sample.sample_id,
        detections=Detections.empty(),
        class_scores=np.array([0.69, 0.31]),
        image_score=0.31,
        seconds=0.0,
    )
    known = None if name == "classifier unmeasured" else measured(unit="image")
    return Pane(title="Classifier", card=owner, predictions=(answer,), measured=known)


def scene(name: str, number: int) -> dict:
    height, width = 420, 560
    case = {"classes": CLASSES, "title": f"Case {number}"}
    if name.endswith("stack"):
        samples = tuple(
            sample(f"slice{z}", 256, 256, z, ((60 + z, 60, 120, 120),) if z > 3 else ())
            for z in range(12)
        )
        rows = [((62 + z, 58, 124, 122, 0.4 + z / 20, 0),) for z in range(12)]
        predictions = tuple(prediction(f"slice{z}", rows[z], 256, 256) for z in range(12))
        return {
            **case,
            "samples": samples,
            "panes": [
                Pane(
                    title="Stack",
                    card=card(),
                    predictions=predictions,
                    measured=MEASURED.get(name),
                )
            ],
        }
    if name == "many":
        height, width = 1500, 1200
        ground_truths = tuple(tuple(row[:4]) for row in many_rows(20, height, width))
        samples = (sample("many", height, width, 1, ground_truths),)
        rows = many_rows(1000, height, width)
    elif name == "large":
        height, width = 4000, 3000
        samples = (sample("large", height, width, 1, ((900, 900, 1300, 1400),)),)
        rows = ((920, 910, 1290, 1420, 0.9, 0),)
    elif name == "broken":
        samples, rows = (unreadable(height, width),), ROWS
    elif name == "unknown":
        samples, rows = (sample("unknown", height, width, 2, None),), ROWS
    elif name == "kinds":
        # The ground truths are of kinds that the model does not know.
        found = sample("kinds", height, width, 1, GROUND_TRUTHS)
        samples = (replace(found, ground_truth=Detections.ground_truth(GROUND_TRUTHS, [1, 0])),)
        rows = ROWS
        case["classes"] = ("elbow positive", "wrist positive")
        case["is_a"] = dict.fromkeys(case["classes"], "fracture")
    elif name == "hostile":
        samples, rows = (sample(HOSTILE, height, width, 3, GROUND_TRUTHS),), ROWS
        case = {"classes": (HOSTILE, "b"), "title": HOSTILE}
    else:
        samples = (sample(f"{name}{number}", height, width, number, GROUND_TRUTHS),)
        rows = WEAKER.get(name, ROWS)
    if name.startswith("classifier"):
        return {**case, "samples": samples, "panes": [classifier_pane(samples[0], name)]}
    answer = prediction(samples[0].sample_id, rows, height, width, masks=name == "masks")
    names = CLASSES if name == "kinds" else tuple(case["classes"])
    owner = card(names, needs_nms=name != "detr")
    title = HOSTILE if name == "hostile" else "Numpy model"
    known = MEASURED.get(name)
    scope = STRANGE if name == "strange" else INSIDE
    panes = [Pane(title=title, card=owner, predictions=(answer,), measured=known, scope=scope)]
    if name == "held":
        panes = [replace(panes[0], scope=STRANGE), replace(panes[0], scope=HELD)]
        panes[1] = replace(panes[1], predictions=(None,), warnings=("not read",))
    if name == "two":
        panes.append(Pane(title="Second", card=card(needs_nms=False), predictions=(answer,)))
    return {**case, "samples": samples, "panes": panes}
