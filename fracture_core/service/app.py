"""The service's routes: `create_app` makes an ASGI application of them."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, cast

from anyio import to_thread
from fastapi import Depends, FastAPI, File, Form, Request, Response, Security, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyHeader
from starlette.exceptions import HTTPException

from fracture_core.demo.answer import MODEL
from fracture_core.errors import BadInput, ConfigError
from fracture_core.hosts import UNKNOWN_HOST, KnownHosts, known_hosts
from fracture_core.models.cards import ModelCard
from fracture_core.models.fake import CARD as FAKE
from fracture_core.models.library import Library, points_of, read_library
from fracture_core.models.points import opening_of
from fracture_core.service import schemas
from fracture_core.service.limits import (
    KEY_HEADER,
    Door,
    Gate,
    Intake,
    Limits,
    problem_response,
)
from fracture_core.service.messages import (
    ExplainOptions,
    Kind,
    PredictOptions,
    Query,
    ReadOptions,
    Reply,
    Upload,
)
from fracture_core.service.meters import CONTENT_TYPE, Meters
from fracture_core.service.pool import Pool
from fracture_core.settings import settings

_DESCRIPTION = f"""Models for fracture detection over uploaded images. **{schemas.RESEARCH_USE}**

Images come as PNG, JPEG, TIFF or DICOM; DICOM is de-identified on import and nothing is kept. Of
several files the slices of one series become a stack. An answer equals that of the page and of
`python -m fracture_core predict` for the same model, image and thresholds."""
_POLICY = "default-src 'none'; frame-ancestors 'none'"


# ---- the library ---------------------------------------------------------------------------------


class Catalogue:
    """The library as it was at most a second ago."""

    _SECONDS = 1.0

    def __init__(self) -> None:
        self._library: Library | None = None
        self._since = 0.0

    async def read(self) -> Library:
        """Return the models that there are."""
        if self._library is None or time.monotonic() - self._since > self._SECONDS:
            self._library = await to_thread.run_sync(read_library)
            self._since = time.monotonic()
        return self._library

    async def find(self, model_id: str) -> ModelCard:
        """Return a model's card; raises ConfigError where the library has none of this id."""
        cards = {card.model_id: card for card in (await self.read()).cards}
        if model_id not in cards:
            expected = f"one of {', '.join(sorted(cards))}"
            raise ConfigError("model", expected=expected, found=repr(model_id[:100]))
        return cards[model_id]


def default_model(cards: Sequence[ModelCard]) -> str:
    """Return the id of the model that is asked where a request names none."""
    return MODEL if MODEL in {card.model_id for card in cards} else FAKE.model_id


# ---- requests ------------------------------------------------------------------------------------

_Share = Annotated[float | None, Form(ge=0, le=1)]
_Modality = Annotated[
    str,
    Form(
        max_length=64,
        examples=["DX"],
        description="The kind of image, where the file does not tell: DICOM's code or a word.",
    ),
]
_BodyPart = Annotated[
    str,
    Form(max_length=64, examples=["wrist"], description="What the image shows, in words."),
]
_ReadAnyway = Annotated[
    bool, Form(description="Ask the model about images of a kind that it has never seen, too.")
]
_Model = Annotated[
    str,
    Form(
        max_length=100,
        examples=[FAKE.model_id],
        description="An id of the library, as /models lists them; by default its `default`.",
    ),
]


def _wants_png(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "image/png" in accepted and "application/json" not in accepted


def _predict_options(  # noqa: PLR0913, PLR0917
    request: Request,
    confidence: Annotated[
        _Share,
        Form(description="Findings are shown from this score; by default the model's point."),
    ] = None,
    nms_iou: Annotated[
        _Share, Form(description="NMS IoU, 0.5 by default; of no effect where none is needed.")
    ] = None,
    raw: Annotated[bool, Form(description="Send all raw candidates as well.")] = False,
    drawn: Annotated[bool, Form(description="Send each frame with its findings drawn.")] = False,
    read_anyway: _ReadAnyway = False,
    modality: _Modality = "",
    body_part: _BodyPart = "",
) -> PredictOptions:
    return PredictOptions(
        confidence=confidence,
        nms_iou=nms_iou,
        raw=raw,
        drawn=drawn,
        read_anyway=read_anyway,
        modality=modality,
        body_part=body_part,
        as_png=_wants_png(request),
    )


def _explain_options(
    request: Request,
    finding: Annotated[
        int | None,
        Form(ge=0, le=10_000, description="`index` of a candidate; without it the whole image."),
    ] = None,
    frame: Annotated[int, Form(ge=1, le=100_000, description="Counts from 1.")] = 1,
    read_anyway: _ReadAnyway = False,
    modality: _Modality = "",
    body_part: _BodyPart = "",
) -> ExplainOptions:
    return ExplainOptions(
        finding=finding,
        frame=frame,
        read_anyway=read_anyway,
        modality=modality,
        body_part=body_part,
        as_png=_wants_png(request),
    )


async def _uploads(files: Sequence[UploadFile], limits: Limits) -> tuple[Upload, ...]:
    if len(files) > limits.most_files:
        expected = f"at most {limits.most_files} in one request"
        raise ConfigError("files", expected=expected, found=str(len(files)))
    return tuple([Upload(name=_file_name(file), data=await file.read()) for file in files])


def _file_name(file: UploadFile) -> str:
    """The last part of what the caller calls it, as text that can be written anywhere."""
    name = (file.filename or "image").replace("\\", "/").rpartition("/")[2]
    return name.encode("utf-8", "replace").decode()[:200] or "image"


# ---- the application -----------------------------------------------------------------------------


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of errors."""
    said = {
        400: "A file or a field cannot be used.",
        401: "The key is missing or another one.",
        403: "A website of another host asked.",
        404: "There is no such model.",
        408: "The files did not arrive in time.",
        409: "The image is held back: the model has never seen images of its kind.",
        413: "The files are too large.",
        421: "The host is not known.",
        422: "A field is missing or malformed.",
        429: "Too many requests are under way; Retry-After says when to ask again.",
        500: "The model failed.",
        503: "The model cannot be used, or no worker was free in time.",
        504: "Reading the files took too long.",
    }
    later = {"Retry-After": {"description": "In seconds.", "schema": {"type": "integer"}}}
    return {
        status: {
            "model": schemas.Problem,
            "description": said[status],
            **({"headers": later} if status in (429, 503) else {}),
        }
        for status in statuses
    }


_PNG = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
_EVERYWHERE = _problems(401, 403, 421)
_WORK = _problems(400, 404, 408, 409, 413, 422, 429, 500, 503, 504)


class Service:
    """What the routes share: the library, the workers and the counters."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.catalogue = Catalogue()
        self.meters = Meters()
        self.intake = Intake(limits)
        self.pool = Pool(limits, self.meters)
        self.meters.watch(
            "fracture_waiting", "Requests without a worker", lambda: self.pool.waiting
        )
        self.meters.watch(
            "fracture_in_flight", "Requests without an answer", lambda: self.intake.in_flight
        )
        self.meters.watch("fracture_workers", "Workers that live", lambda: len(self.pool.pids))

    async def ask(
        self, kind: Kind, model: str, options: ReadOptions, files: Sequence[UploadFile]
    ) -> Response:
        """Have a worker answer a request."""
        uploads = await _uploads(files, self.limits)
        chosen = model or default_model((await self.catalogue.read()).cards)
        try:
            card = await self.catalogue.find(chosen)
        except ConfigError as error:
            return _sent(Reply.refusing(error, 404))
        query = Query(options=options, uploads=uploads)
        return _sent(await self.pool.ask(kind, card.model_id, card.weights_sha256, query))


def _sent(reply: Reply) -> Response:
    return Response(reply.body, reply.status, media_type=reply.media_type)


def create_app(limits: Limits | None = None, *, address: str = "127.0.0.1") -> FastAPI:
    """Return the service as an ASGI application, for a server that is bound to `address`.

    Its workers live as long as the application's lifespan. The key is FRACTURE_API_KEY's.
    """
    service = Service(limits or Limits())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.pool.start()
        try:
            yield
        finally:
            await service.pool.close()

    app = FastAPI(
        title="Fracture workbench",
        version=_version(),
        description=_DESCRIPTION,
        license_info={"name": "AGPL-3.0-or-later", "identifier": "AGPL-3.0-or-later"},
        lifespan=lifespan,
        # The pages with which FastAPI shows the document load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        # Whatever the environment says: nothing is sent anywhere.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        responses=_EVERYWHERE,
        dependencies=[Security(APIKeyHeader(name=KEY_HEADER, auto_error=False))],
    )
    app.state.service = service
    door = Door(
        limits=service.limits,
        intake=service.intake,
        meters=service.meters,
        key=settings().api_key,
        hosts=known_hosts(address),
        retry_after=lambda: service.pool.retry_after,
    )
    refusal = problem_response(421, schemas.Problem(message=UNKNOWN_HOST))
    app.add_middleware(Gate, door=door)
    app.add_middleware(KnownHosts, address=address, policy=lambda host: _POLICY, refusal=refusal)
    _handle_errors(app)
    _add_work(app, service)
    _add_facts(app, service)
    return app


def _version() -> str:
    try:
        return version("fracture-workbench")
    except PackageNotFoundError:
        return "0"


def _add_work(app: FastAPI, service: Service) -> None:
    @app.post(
        "/predict",
        summary="Read images",
        response_model=schemas.PredictAnswer,
        responses={200: {"content": _PNG}, **_WORK},
    )
    async def predict(
        files: Annotated[list[UploadFile], File(description="Images or DICOM files.")],
        options: Annotated[PredictOptions, Depends(_predict_options)],
        model: _Model = "",
    ) -> Response:
        """Answer what a model finds in images; with `Accept: image/png`, draw it into one."""
        return await service.ask("predict", model, options, files)

    @app.post(
        "/explain",
        summary="Explain a finding or an image",
        response_model=schemas.ExplainAnswer,
        responses={200: {"content": _PNG}, **_WORK},
    )
    async def explain(
        file: Annotated[UploadFile, File(description="An image or a DICOM file.")],
        options: Annotated[ExplainOptions, Depends(_explain_options)],
        model: _Model = "",
    ) -> Response:
        """Answer a heat map with checks of how far it can be trusted; seconds to minutes."""
        return await service.ask("explain", model, options, [file])


def _add_facts(app: FastAPI, service: Service) -> None:
    @app.get("/models", summary="List the models")
    async def models() -> schemas.ModelsAnswer:
        """Answer every model that can be asked, with the threshold it opens at."""
        library = await service.catalogue.read()
        return await to_thread.run_sync(_listed, library)

    @app.get("/health", summary="Ask whether the service lives", responses=_health_problems())
    async def health(response: Response) -> schemas.HealthAnswer:
        """Answer how many workers live and how many requests wait; 503 while no worker lives."""
        pool = service.pool
        alive = len(pool.pids)
        response.status_code = 200 if alive else 503
        return schemas.HealthAnswer(
            status="ok" if alive else "no worker lives",
            workers=alive,
            restarts=pool.restarts,
            waiting=pool.waiting,
            in_flight=service.intake.in_flight,
        )

    @app.get(
        "/metrics",
        summary="Counters for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        """Answer what was counted since the start, in Prometheus's text format."""
        return Response(service.meters.text(), media_type=CONTENT_TYPE)


def _health_problems() -> dict[int | str, dict[str, Any]]:
    return {503: {"model": schemas.HealthAnswer, "description": "No worker lives."}}


def _listed(library: Library) -> schemas.ModelsAnswer:
    entries, broken = [], [str(error) for error in library.broken]
    for card in library.cards:
        try:
            opening = opening_of(card, points_of(card))
        except ConfigError as error:
            broken.append(str(error))
            opening = opening_of(card, None)
        facts = schemas.OpeningFacts(
            confidence=opening.confidence, rule=opening.rule, reason=opening.reason
        )
        entries.append(schemas.ModelEntry(card=card, opening=facts))
    return schemas.ModelsAnswer(
        default=default_model(library.cards), models=tuple(entries), broken=tuple(broken)
    )


# ---- errors --------------------------------------------------------------------------------------


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return problem_response(
            error.status_code, schemas.Problem(message=str(error.detail)), error.headers
        )

    @app.exception_handler(BadInput)
    async def bad(request: Request, error: BadInput) -> Response:
        return problem_response(400, schemas.Problem.of(error))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        return problem_response(422, schemas.Problem.of(_fault(error)))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return problem_response(
            500, schemas.Problem(message="The service failed; its log says why.")
        )


def _fault(error: RequestValidationError) -> ConfigError:
    """The first fault of a request, in the words of this project's other sentences."""
    first = cast(dict[str, Any], error.errors()[0])
    name = ".".join(str(part) for part in first["loc"][1:]) or "request"
    if first["type"] == "missing":
        return ConfigError(name, expected="a value", found="none")
    said = str(first["msg"])
    expected = "a file" if "UploadFile" in said else said.removeprefix("Input should be ")
    return ConfigError(name[:100], expected=expected[:200], found=repr(first.get("input"))[:100])
