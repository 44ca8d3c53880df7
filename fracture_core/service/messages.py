"""What the service and its workers send each other: a JSON header and bytes, never pickles.

A worker reads files from strangers. Whatever such a file makes of it, all that comes back is text
and bytes, in which nothing can be executed.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict

from fracture_core.errors import BadInput
from fracture_core.service.schemas import Problem

Kind = Literal["open", "predict", "explain"]
_LENGTHS = struct.Struct(">IQ")
"""How many bytes the header has, and how many follow it."""


class ReadOptions(BaseModel):
    """What every request may say of its images.

    `modality` and `body_part` are what the caller knows of them, "" = nothing. `read_anyway` asks
    the model about images of a kind that it has never seen. `as_png` wants an image for an answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    modality: str = ""
    body_part: str = ""
    read_anyway: bool = False
    as_png: bool = False


class PredictOptions(ReadOptions):
    """How an image is read: `confidence` None = the model's operating point."""

    confidence: float | None = None
    nms_iou: float | None = None
    raw: bool = False
    drawn: bool = False


class ExplainOptions(ReadOptions):
    """What is explained: the candidate at `finding`, None = the image; `frame` counts from 1."""

    finding: int | None = None
    frame: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file as it was sent."""

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One request for a worker: its options and its files."""

    options: ReadOptions
    uploads: tuple[Upload, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of a worker, ready to be sent; `images` counts the frames that were read."""

    status: int
    body: bytes = field(repr=False)
    media_type: str = "application/json"
    images: int = 0

    @classmethod
    def of(cls, answer: BaseModel, *, images: int = 0) -> "Reply":
        """Return an answer as JSON."""
        return cls(status=200, body=answer.model_dump_json().encode(), images=images)

    @classmethod
    def refusing(cls, error: BadInput, status: int = 400) -> "Reply":
        """Return an error with its parts."""
        return cls(status=status, body=Problem.of(error).model_dump_json().encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Requests of one kind for one model, which a worker answers together.

    The kind "open" has none and no answer: the worker opens the model, if it has not.
    """

    kind: Kind
    model_id: str
    weights_sha256: str
    queries: tuple[Query, ...] = ()


def pack_work(work: Work) -> Iterator[bytes]:
    """Yield the bytes of what a worker is to do."""
    uploads = [upload for query in work.queries for upload in query.uploads]
    header = {
        "kind": work.kind,
        "model_id": work.model_id,
        "weights_sha256": work.weights_sha256,
        "queries": [
            {
                "options": query.options.model_dump(),
                "files": [[upload.name, len(upload.data)] for upload in query.uploads],
            }
            for query in work.queries
        ],
    }
    return _packed(header, [upload.data for upload in uploads])


def read_work(stream: BinaryIO) -> Work | None:
    """Read what `pack_work` wrote; None where the stream has ended."""
    held = _read(stream)
    if held is None:
        return None
    header, rest = held
    options = PredictOptions if header["kind"] == "predict" else ExplainOptions
    queries = []
    for query in header["queries"]:
        uploads = [Upload(name=name, data=rest.take(size)) for name, size in query["files"]]
        asked = options.model_validate(query["options"])
        queries.append(Query(options=asked, uploads=tuple(uploads)))
    return Work(
        kind=header["kind"],
        model_id=header["model_id"],
        weights_sha256=header["weights_sha256"],
        queries=tuple(queries),
    )


def pack_replies(replies: Sequence[Reply]) -> Iterator[bytes]:
    """Yield the bytes of a worker's answers, one for each query."""
    facts = [[each.status, each.media_type, each.images, len(each.body)] for each in replies]
    return _packed(facts, [each.body for each in replies])


def unpack_replies(header: bytes, rest: bytes) -> list[Reply]:
    """Return the answers of which `pack_replies` wrote the header and the rest."""
    cut = _Cut(rest)
    return [
        Reply(status=status, media_type=media_type, images=images, body=cut.take(size))
        for status, media_type, images, size in json.loads(header)
    ]


def read_lengths(start: bytes) -> tuple[int, int]:
    """Return how many bytes the header and the rest have, from the first `LENGTH_BYTES`."""
    header, rest = _LENGTHS.unpack(start)
    return header, rest


LENGTH_BYTES = _LENGTHS.size


class _Cut:
    """Bytes that are taken from the front, piece by piece."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def take(self, size: int) -> bytes:
        taken, self._data = bytes(self._data[:size]), self._data[size:]
        return taken


def _packed(header: object, bodies: Sequence[bytes]) -> Iterator[bytes]:
    told = json.dumps(header).encode()
    yield _LENGTHS.pack(len(told), sum(map(len, bodies))) + told
    yield from bodies


def _read(stream: BinaryIO) -> tuple[Any, _Cut] | None:
    start = stream.read(LENGTH_BYTES)
    if len(start) < LENGTH_BYTES:
        return None
    header, rest = read_lengths(start)
    return json.loads(stream.read(header)), _Cut(stream.read(rest))
