"""What the service answers, as the OpenAPI document describes it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fracture_core.errors import BadInput
from fracture_core.models.cards import ModelCard, Task
from fracture_core.predictions import Kind
from fracture_core.scope import Standing

RESEARCH_USE = "Research use only. Not a medical device. Not for clinical decisions."


def _with_example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [example]})


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_MODEL_EXAMPLE: dict[str, Any] = {
    "model_id": "yolo-detect",
    "title": "YOLO11n",
    "family": "yolo",
    "task": "detect",
    "classes": ["fracture"],
    "weights_sha256": "9f86d081884c7d65",
}


# ---- errors --------------------------------------------------------------------------------------


class Problem(BaseModel):
    """Why a request has no answer: a sentence, and its parts where the input was at fault."""

    model_config = _with_example(
        {
            "message": "hand.gif: expected a PNG, JPEG, TIFF or DICOM file, found a GIF image.",
            "name": "hand.gif",
            "expected": "a PNG, JPEG, TIFF or DICOM file",
            "found": "a GIF image",
            "advice": "",
        }
    )

    message: str
    name: str = Field(default="", description="The file or the field that is at fault.")
    expected: str = ""
    found: str = ""
    advice: str = ""

    @classmethod
    def of(cls, error: BadInput) -> "Problem":
        """Return the parts of an error, as printable as its sentence."""
        return cls(
            message=str(error),
            name=error.name,
            expected=error.expected,
            found=error.found,
            advice=error.advice,
        )


# ---- POST /predict -------------------------------------------------------------------------------


class Mask(_Strict):
    """A mask as COCO's compressed run lengths."""

    size: tuple[int, int] = Field(description="Height and width in pixels.")
    counts: str


class Finding(BaseModel):
    """A box with its class and score."""

    model_config = _with_example(
        {
            "index": 0,
            "xyxy": [212.5, 340.0, 268.25, 391.75],
            "label": 0,
            "class_name": "fracture",
            "score": 0.83,
            "mask": None,
        }
    )

    index: int = Field(description="The position among the raw candidates; /explain takes it.")
    xyxy: tuple[float, float, float, float] = Field(
        description="Left, top, right and bottom in pixels of the image as it was sent."
    )
    label: int
    class_name: str
    score: float = Field(ge=0, le=1, description="It ranks; it is no probability.")
    mask: Mask | None = None


class ScopeFacts(_Strict):
    """Whether the model was made for images like this one."""

    standing: Standing
    sentence: str = Field(description='Why not, or why nobody knows; "" when inside.')
    held_back: bool = Field(
        description="The model was not asked, because it has never seen images of this kind; "
        "`read_anyway` asks it."
    )


class FrameAnswer(_Strict):
    """What the model says of one frame, nothing where the image is held back."""

    frame: int = Field(ge=1, description="Counts from 1.")
    sample_id: str
    answer: Kind = Field(
        description="finding, doubt or none by the model's operating points; unknown without "
        "points and outside of the model's scope. It is never a diagnosis."
    )
    image_score: float | None = Field(description="Null where the image is held back.")
    class_scores: tuple[float, ...] | None = Field(description="Of classifiers, by class.")
    findings: tuple[Finding, ...] = Field(description="What confidence and NMS leave, best first.")
    candidates: tuple[Finding, ...] | None = Field(
        description="All raw candidates, best first, where `raw` asked for them."
    )
    seconds: float | None = Field(description="The model's time for this frame in its batch.")
    drawn_png: str | None = Field(
        description="The frame with its findings and a caption, as `predict --draw` draws it: a "
        "PNG in base64, its longer side at most 1600 px, where `drawn` asked for it.",
        json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/png"},
    )


class ImageAnswer(_Strict):
    """One image, or one stack of slices, that the uploaded files hold."""

    name: str
    sha256: str = Field(description="Of what is shown, not of the file.")
    height: int
    width: int
    warnings: tuple[str, ...] = Field(description="Such as that text may be burned into it.")
    scope: ScopeFacts
    frames: tuple[FrameAnswer, ...]


class ModelFacts(_Strict):
    """The model that was asked."""

    model_id: str
    title: str
    family: str
    task: Task
    classes: tuple[str, ...]
    weights_sha256: str

    @classmethod
    def of(cls, card: ModelCard) -> "ModelFacts":
        """Return what identifies the model of a card."""
        return cls.model_validate({name: getattr(card, name) for name in cls.model_fields})


class FilterFacts(_Strict):
    """The thresholds that findings passed."""

    confidence: float
    rule: str = Field(description='The operating point of this confidence, "" = none.')
    reason: str = Field(description="Why this one: it was asked for, or what was not measured.")
    nms_iou: float | None = Field(description="Null for models that need no NMS.")


class PredictAnswer(BaseModel):
    """What a model found in the uploaded files."""

    model_config = _with_example(
        {
            "research_use": RESEARCH_USE,
            "model": _MODEL_EXAMPLE,
            "filter": {
                "confidence": 0.31,
                "rule": "sensitivity ≥ 0.9",
                "reason": "",
                "nms_iou": 0.5,
            },
            "images": [
                {
                    "name": "wrist.png",
                    "sha256": "9f86d081884c7d65",
                    "height": 1024,
                    "width": 768,
                    "warnings": [],
                    "scope": {"standing": "inside", "sentence": "", "held_back": False},
                    "frames": [
                        {
                            "frame": 1,
                            "sample_id": "wrist-9f86d081884c",
                            "answer": "finding",
                            "image_score": 0.83,
                            "class_scores": None,
                            "findings": [
                                {
                                    "index": 0,
                                    "xyxy": [212.5, 340.0, 268.25, 391.75],
                                    "label": 0,
                                    "class_name": "fracture",
                                    "score": 0.83,
                                    "mask": None,
                                }
                            ],
                            "candidates": None,
                            "seconds": 0.08,
                            "drawn_png": None,
                        }
                    ],
                }
            ],
            "errors": [],
        }
    )

    research_use: Literal["Research use only. Not a medical device. Not for clinical decisions."]
    model: ModelFacts
    filter: FilterFacts
    images: tuple[ImageAnswer, ...]
    errors: tuple[Problem, ...] = Field(description="The files that could not be read.")


# ---- POST /explain -------------------------------------------------------------------------------


class Checks(_Strict):
    """How far a heat map can be trusted; see `fracture_core.explanations`."""

    energy_inside: float | None
    box_share: float | None
    deletion: float
    random_deletion: float
    insertion: float
    random_insertion: float
    with_random_weights: float | None = Field(description="Null where it is undefined.")
    verdict: str
    failures: tuple[str, ...]


class ExplainAnswer(BaseModel):
    """Where a model found the evidence for a finding or for the image, with checks of that map."""

    model_config = _with_example(
        {
            "research_use": RESEARCH_USE,
            "model": _MODEL_EXAMPLE,
            "name": "wrist.png",
            "frame": 1,
            "scope": {"standing": "inside", "sentence": "", "held_back": False},
            "finding": None,
            "method": "Grad-CAM",
            "target": "all findings, weighted by their scores",
            "strength": 0.42,
            "height": 1024,
            "width": 768,
            "map_png": "iVBORw0KGgo=",
            "checks": {
                "energy_inside": None,
                "box_share": None,
                "deletion": 0.21,
                "random_deletion": 0.44,
                "insertion": 0.52,
                "random_insertion": 0.31,
                "with_random_weights": 0.12,
                "verdict": "checks passed",
                "failures": [],
            },
        }
    )

    research_use: Literal["Research use only. Not a medical device. Not for clinical decisions."]
    model: ModelFacts
    name: str
    frame: int
    scope: ScopeFacts
    finding: Finding | None
    method: str
    target: str
    strength: float = Field(description="The greatest value before the map was scaled to [0, 1].")
    height: int
    width: int
    map_png: str = Field(
        description="The map as a grey PNG in base64, 255 = `strength`; a pixel is a pixel of the "
        "image.",
        json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/png"},
    )
    checks: Checks


# ---- GET /models and /health ---------------------------------------------------------------------


class OpeningFacts(_Strict):
    """The confidence from which findings are shown where a request names none."""

    confidence: float
    rule: str
    reason: str


class ModelEntry(_Strict):
    """A model of the library."""

    card: ModelCard
    opening: OpeningFacts


class ModelsAnswer(_Strict):
    """The models that can be asked."""

    default: str = Field(description="The one that is asked where a request names none.")
    models: tuple[ModelEntry, ...]
    broken: tuple[str, ...] = Field(description="A sentence for each model that cannot be used.")


class HealthAnswer(BaseModel):
    """Whether the service can answer."""

    model_config = _with_example(
        {"status": "ok", "workers": 1, "restarts": 0, "waiting": 0, "in_flight": 0}
    )

    status: Literal["ok", "no worker lives"]
    workers: int = Field(description="Worker processes that live.")
    restarts: int = Field(description="How many were started in the place of one that ended.")
    waiting: int = Field(description="Requests that no worker has taken yet.")
    in_flight: int = Field(description="Requests that have no answer yet.")
