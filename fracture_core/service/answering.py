"""What a worker does with requests: read their files, ask the model once about all, write answers.

It is the way of the page and of the command line: `open_images`, the model's scope, `predict`, and
`Filter` as the only filter.
"""

import base64
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from PIL import Image

from fracture_core.attributes import in_words, merged
from fracture_core.drawing.sheets import sheet_of
from fracture_core.errors import BadInput, ConfigError, ImageError
from fracture_core.explanations import Explanation, Faithfulness, explain
from fracture_core.imaging.image import MedicalImage
from fracture_core.imaging.opening import open_images
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard
from fracture_core.models.points import Measurements, opening_of
from fracture_core.prediction_images import Shown, panel_of
from fracture_core.predictions import Filter, Kind, answer_to_image
from fracture_core.scope import ScopeCheck, check_scope
from fracture_core.service import schemas
from fracture_core.service.messages import (
    ExplainOptions,
    PredictOptions,
    Query,
    ReadOptions,
    Reply,
    Upload,
)
from fracture_core.types import Detections, Prediction, Sample

MOST_FRAMES = 256
"""The frames that one request may hold, all files together."""
_MOST_PX = 1600
_PNG = "image/png"
_HELD_BACK = "Say read_anyway=true to have it read all the same."

# ---- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """An image as the model gets it, with what the caller tells of it."""

    image: MedicalImage
    samples: tuple[Sample, ...]
    scope: ScopeCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    cases: tuple[_Case, ...]
    errors: tuple[ImageError, ...]

    @property
    def asked(self) -> list[Sample]:
        """The frames that the model is asked about."""
        return [
            sample for case in self.cases if not case.scope.held_back for sample in case.samples
        ]

    @property
    def frames(self) -> int:
        return sum(len(case.samples) for case in self.cases)


def _read(uploads: Sequence[Upload], options: ReadOptions, card: ModelCard) -> _Read:
    """Raises BadInput where no file can be read, or all together have too many frames."""
    opened = open_images((upload.name, upload.data) for upload in uploads)
    if not opened.images:
        raise opened.errors[0]
    read = _Read(
        cases=tuple(_case(image, options, card) for image in opened.images), errors=opened.errors
    )
    if read.frames > MOST_FRAMES:
        expected = f"at most {MOST_FRAMES} frames in one request"
        raise ConfigError("files", expected=expected, found=str(read.frames))
    return read


def _case(image: MedicalImage, options: ReadOptions, card: ModelCard) -> _Case:
    told = in_words({"modality": options.modality, "body part": options.body_part})
    words, notes = merged(("the file", image.attributes), ("the request", told))
    samples = tuple(replace(each, attributes=words, notes=notes) for each in image.samples())
    check = check_scope(card.scope, words)
    return _Case(
        image=image,
        samples=samples,
        scope=replace(check, held_back=check.held_back and not options.read_anyway),
    )


# ---- predict -------------------------------------------------------------------------------------


def predict(model: Model, measured: Measurements | None, queries: Sequence[Query]) -> list[Reply]:
    """Answer requests with one call of the model; one that cannot be read gives its own error."""
    read: list[_Read | BadInput] = []
    for query in queries:
        try:
            read.append(_read(query.uploads, query.options, model.card))
        except BadInput as error:
            read.append(error)
    asked = [sample for each in read if isinstance(each, _Read) for sample in each.asked]
    predictions = iter(model.predict(asked) if asked else ())
    return [
        Reply.refusing(each)
        if isinstance(each, BadInput)
        else _predicted(each, predictions, model.card, measured, query)
        for query, each in zip(queries, read, strict=True)
    ]


def _predicted(
    read: _Read,
    predictions: Iterator[Prediction],
    card: ModelCard,
    measured: Measurements | None,
    query: Query,
) -> Reply:
    """Takes this request's predictions off the batch's, whatever becomes of the answer."""
    own = [next(predictions) for _ in read.asked]
    options = query.options
    assert isinstance(options, PredictOptions)  # noqa: S101
    writer = _Writer(card, measured, options)
    try:
        if options.as_png:
            return writer.png(read, own)
        return Reply.of(writer.answer(read, own), images=len(own))
    except BadInput as error:
        return Reply.refusing(error)


class _Writer:
    """Writes what a model found as an answer."""

    def __init__(
        self, card: ModelCard, measured: Measurements | None, options: PredictOptions
    ) -> None:
        self._card, self._measured, self._options = card, measured, options
        opening = opening_of(card, measured)
        asked = options.confidence is not None
        nms_iou = options.nms_iou if card.needs_nms else None
        self._shown = Shown.of(
            card, measured, Filter(confidence=options.confidence, nms_iou=nms_iou)
        )
        self._filter = self._shown.keep
        self._rule = "" if asked else opening.rule
        self._reason = "asked for" if asked else opening.reason

    def answer(self, read: _Read, predictions: Sequence[Prediction]) -> schemas.PredictAnswer:
        left = iter(predictions)
        return schemas.PredictAnswer(
            research_use=schemas.RESEARCH_USE,
            model=schemas.ModelFacts.of(self._card),
            filter=schemas.FilterFacts(
                confidence=self._filter.confidence or 0.0,
                rule=self._rule,
                reason=self._reason,
                nms_iou=self._filter.nms_iou,
            ),
            images=tuple(self._image(case, left) for case in read.cases),
            errors=tuple(schemas.Problem.of(error) for error in read.errors),
        )

    def png(self, read: _Read, predictions: Sequence[Prediction]) -> Reply:
        """Raises BadInput where there is not one frame alone; gives 409 where it is held back."""
        if read.errors:
            raise read.errors[0]
        if read.frames != 1:
            expected = "one image of one frame, to be answered by a PNG"
            raise ConfigError("files", expected=expected, found=f"{read.frames} frames")
        (case,) = read.cases
        if case.scope.held_back:
            return _held_back(case)
        (prediction,) = predictions
        body = self._drawn(case.samples[0], prediction)
        return Reply(status=200, media_type=_PNG, body=body, images=1)

    def _image(self, case: _Case, left: Iterator[Prediction]) -> schemas.ImageAnswer:
        image = case.image
        return schemas.ImageAnswer(
            name=image.name,
            sha256=image.sha256,
            height=image.height,
            width=image.width,
            warnings=(*image.warnings, *case.samples[0].notes),
            scope=_scope(case.scope),
            frames=tuple(
                self._frame(frame, sample, None if case.scope.held_back else next(left))
                for frame, sample in enumerate(case.samples, start=1)
            ),
        )

    def _frame(
        self, frame: int, sample: Sample, prediction: Prediction | None
    ) -> schemas.FrameAnswer:
        raw = prediction.detections if prediction else Detections.empty()
        shown = self._filter.apply(raw)
        scores = prediction.class_scores if prediction else None
        return schemas.FrameAnswer(
            frame=frame,
            sample_id=sample.sample_id,
            answer=self._kind(sample, prediction) if prediction else "unknown",
            image_score=prediction.image_score if prediction else None,
            class_scores=None if scores is None else tuple(scores.tolist()),
            findings=_findings(shown, _positions(raw, shown), self._card.classes),
            candidates=_findings(raw, range(len(raw)), self._card.classes)
            if self._options.raw
            else None,
            seconds=prediction.seconds if prediction else None,
            drawn_png=_text(self._drawn(sample, prediction))
            if self._options.drawn and prediction
            else None,
        )

    def _kind(self, sample: Sample, prediction: Prediction) -> Kind:
        confidence = self._filter.confidence
        answer = answer_to_image(
            self._card, self._measured, sample.attributes, prediction, confidence
        )
        return answer.kind

    def _drawn(self, sample: Sample, prediction: Prediction) -> bytes:
        """As `predict --draw` draws it: with a caption, and what is to be said of the scope."""
        side = min(_MOST_PX, max(sample.height, sample.width))
        return _png_bytes(sheet_of([[panel_of(self._shown, sample, prediction, (), side)]]))


def _findings(
    found: Detections, positions: Sequence[int], classes: Sequence[str]
) -> tuple[schemas.Finding, ...]:
    xyxy = found.xyxy.astype(float).tolist()
    return tuple(
        schemas.Finding(
            index=positions[i],
            xyxy=tuple(xyxy[i]),
            label=int(found.labels[i]),
            class_name=classes[found.labels[i]],
            score=float(found.scores[i]),
            mask=schemas.Mask.model_validate(found.masks[i].as_coco()) if found.masks else None,
        )
        for i in range(len(found))
    )


def _positions(raw: Detections, shown: Detections) -> list[int]:
    """Where the shown findings stand among the raw ones, whose order a filter keeps."""
    found, at = [], 0
    for xyxy, label in zip(shown.xyxy, shown.labels, strict=True):
        while not (raw.labels[at] == label and np.array_equal(raw.xyxy[at], xyxy)):
            at += 1
        found.append(at)
        at += 1
    return found


def _scope(check: ScopeCheck) -> schemas.ScopeFacts:
    return schemas.ScopeFacts(
        standing=check.standing, sentence=check.sentence, held_back=check.held_back
    )


def _held_back(case: _Case) -> Reply:
    error = ConfigError(
        case.image.name,
        expected="an image of a kind that the model knows",
        found=f"another ({case.scope.sentence})",
        advice=_HELD_BACK,
    )
    return Reply.refusing(error, 409)


# ---- explain -------------------------------------------------------------------------------------


def explain_image(model: Model, query: Query) -> Reply:
    """Answer with the checked heat map of one frame."""
    options = query.options
    assert isinstance(options, ExplainOptions)  # noqa: S101
    try:
        read = _read(query.uploads, options, model.card)
        case, sample = _frame_of(read, options.frame)
        if case.scope.held_back:
            return _held_back(case)
        (prediction,) = model.predict([sample])
        _check_finding(options.finding, prediction, model.card)
        made = explain(model, sample, prediction, options.finding)
    except BadInput as error:
        return Reply.refusing(error)
    values = np.rint(made.heatmap.values * 255).astype(np.uint8)
    body = _png_bytes(Image.fromarray(values))
    if options.as_png:
        return Reply(status=200, media_type=_PNG, body=body, images=1)
    return Reply.of(_explained(made, body, case, prediction, model.card, options), images=1)


def _frame_of(read: _Read, frame: int) -> tuple[_Case, Sample]:
    (case,) = read.cases
    if not 1 <= frame <= len(case.samples):
        expected = f"a frame from 1 to {len(case.samples)}"
        raise ConfigError("frame", expected=expected, found=str(frame))
    return case, case.samples[frame - 1]


def _check_finding(finding: int | None, prediction: Prediction, card: ModelCard) -> None:
    count = len(prediction.detections)
    if finding is None or 0 <= finding < count:
        return
    expected = f"a candidate from 0 to {count - 1}" if count else "none, as there is no candidate"
    if card.task == "classify":
        expected = "none, as a classifier explains the whole image"
    raise ConfigError("finding", expected=expected, found=str(finding))


def _explained(
    made: Explanation,
    body: bytes,
    case: _Case,
    prediction: Prediction,
    card: ModelCard,
    options: ExplainOptions,
) -> schemas.ExplainAnswer:
    raw, heatmap, at = prediction.detections, made.heatmap, options.finding
    one = () if at is None else _findings(raw[at : at + 1], [at], card.classes)
    return schemas.ExplainAnswer(
        research_use=schemas.RESEARCH_USE,
        model=schemas.ModelFacts.of(card),
        name=case.image.name,
        frame=options.frame,
        scope=_scope(case.scope),
        finding=one[0] if one else None,
        method=heatmap.method,
        target=heatmap.target,
        strength=heatmap.strength,
        height=heatmap.values.shape[0],
        width=heatmap.values.shape[1],
        map_png=_text(body),
        checks=_checks(made.faithfulness),
    )


def _checks(found: Faithfulness) -> schemas.Checks:
    facts = asdict(found) | {"verdict": found.verdict, "failures": found.failures}
    # A rank correlation is undefined where all ranks are equal.
    if not math.isfinite(found.with_random_weights):
        facts["with_random_weights"] = None
    return schemas.Checks.model_validate(facts)


def _png_bytes(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)
    return file.getvalue()


def _text(png: bytes) -> str:
    return base64.b64encode(png).decode("ascii")
