"""Images to send, and a service of the application to send them to."""

import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import numpy as np
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from fracture_core.service.app import Service, create_app
from fracture_core.service.limits import Limits

BASE = "http://127.0.0.1"


def png(height: int = 90, width: int = 120, seed: int = 0) -> bytes:
    """A PNG of grey noise."""
    rng = np.random.default_rng(seed)
    return png_of(rng.integers(0, 255, (height, width), dtype=np.uint8))


def png_of(pixels: np.ndarray) -> bytes:
    """A PNG of (H, W) uint8."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    """Files of a request to /predict."""
    return [("files", (f"{i}.png", content)) for i, content in enumerate(contents)]


@contextmanager
def client(limits: Limits | None = None) -> Iterator[TestClient]:
    """A client of a service that lives as long as the block."""
    with TestClient(create_app(limits), base_url=BASE) as opened:
        yield opened


@asynccontextmanager
async def async_client(limits: Limits) -> AsyncIterator[tuple[httpx.AsyncClient, Service]]:
    """A client for many requests at once, and the service behind it."""
    app: FastAPI = create_app(limits)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=BASE, timeout=60) as opened,
    ):
        yield opened, app.state.service
