"""The HTTP service under load: batches against one by one; beside the page and the command line.

Each way reads the same PNG files and asks the same model. The service is a process of its own with
one worker, and CLIENTS ask it at once. The page's path is what its sessions do, a thread a reader:
`open_image` and the adapter. The command line is one process for all files, its start included.
`python -m benchmarks service:ID` measures one model of the library, and `service:small-network` the
network for which a batch costs little more than an image.
"""

import asyncio
import io
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from benchmarks.rows import Row
from fracture_core.demo.samples import make_radiograph
from fracture_core.imaging.opening import open_image
from fracture_core.models.base import Model
from fracture_core.models.cards import read_card, write_card
from fracture_core.models.families import family
from fracture_core.models.library import open_model

MODELS = ("resnet", "yolo-detect", "yolo-segment")
"""A classifier, a detector and a segmenter, as in R5."""
SMALL = ("small-network", "efficientnet_b0", 64)
"""A network of many small layers: a batch of it costs little more than one image."""
CLIENTS = 16
IMAGES = 16
BATCH = 8
SMALL_BATCH = 16
FASTER_AT_LEAST = 2.0


def main(*chosen: str) -> list[Row]:
    """Return images a second and response times of each way, by model."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for model_id in chosen or (SMALL[0], *MODELS):
            if model_id == SMALL[0]:
                _save_small(home / "models" / model_id)
                images = [_png(seed, 96) for seed in range(8)] * CLIENTS
                rows += _batching(model_id, home, images, SMALL_BATCH, least=FASTER_AT_LEAST)
            else:
                images = [_png(seed, 768) for seed in range(8)] * (IMAGES // 8)
                rows += _batching(model_id, home, images, BATCH)
                rows += _others(model_id, home, images)
    return rows


def _save_small(folder: Path) -> None:
    model_id, name, size = SMALL
    made: Any = family("efficientnet_gate").from_name(name)
    card = made.save(folder)
    write_card(card.model_copy(update={"model_id": model_id, "input_size": size}), folder)


def _png(seed: int, side: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(make_radiograph(seed).shown()).resize((side, side)).save(file, "PNG")
    return file.getvalue()


# ---- the service ---------------------------------------------------------------------------------


def _batching(
    model_id: str, home: Path, images: list[bytes], batch: int, least: float | None = None
) -> Iterator[Row]:
    yield Row(
        name=f"{model_id}: a batch of {batch} against its parts, no service",
        value=_gain(model_id, home, images[:batch]),
        unit="×",
    )
    alone, alone_ms = _served(model_id, home, images, batch=1)
    together, together_ms = _served(model_id, home, images, batch=batch)
    yield Row(name=f"{model_id}: service, one by one", value=alone, unit="/s")
    yield Row(name=f"{model_id}: service, batches of {batch}", value=together, unit="/s")
    gain = together / alone
    yield Row(name=f"{model_id}: batches against one by one", value=gain, unit="×", least=least)
    yield Row(name=f"{model_id}: response, one by one, median", value=alone_ms, unit="ms")
    yield Row(name=f"{model_id}: response, batches, median", value=together_ms, unit="ms")


def _gain(model_id: str, home: Path, images: list[bytes]) -> float:
    """How much faster a model is with a batch than with its images one at a time."""
    model = _opened(model_id, home)
    samples = [open_image(each, f"{i}.png").samples()[0] for i, each in enumerate(images)]
    model.predict(samples)
    ratios = []
    for _ in range(2):
        start = time.perf_counter()
        model.predict(samples)
        together = time.perf_counter() - start
        start = time.perf_counter()
        for sample in samples:
            model.predict([sample])
        ratios.append((time.perf_counter() - start) / together)
    return statistics.median(ratios)


def _opened(model_id: str, home: Path) -> Model:
    if model_id != SMALL[0]:
        return open_model(model_id)
    folder = home / "models" / model_id
    return family("efficientnet_gate").load(read_card(folder), folder)


def _served(model_id: str, home: Path, images: list[bytes], *, batch: int) -> tuple[float, float]:
    """Images a second and the median response time in ms, the first answers not counted."""
    with _service(home, batch) as address:
        return asyncio.run(_load(address, model_id, images))


@contextmanager
def _service(home: Path, batch: int) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("--port", str(port), "--batch", str(batch), "--queue", str(2 * CLIENTS))
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "fracture_core", "serve", *options],
            env={**os.environ, "FRACTURE_HOME": str(home)},
            stdout=log,
            stderr=log,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(address)
            yield address
        finally:
            server.terminate()
            server.wait()


def _wait(address: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{address}/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    sys.exit("service: the server did not start in a minute")


async def _load(address: str, model_id: str, images: list[bytes]) -> tuple[float, float]:
    async with httpx.AsyncClient(base_url=address, timeout=600) as client:
        for _ in range(2):
            await _ask(client, model_id, images[0])
        waiting = iter(images)
        seconds: list[float] = []

        async def keep_asking() -> None:
            seconds.extend([await _ask(client, model_id, image) for image in waiting])

        start = time.perf_counter()
        await asyncio.gather(*(keep_asking() for _ in range(CLIENTS)))
        whole = time.perf_counter() - start
    return len(images) / whole, 1000 * statistics.median(seconds)


async def _ask(client: httpx.AsyncClient, model_id: str, image: bytes) -> float:
    start = time.perf_counter()
    files = {"files": ("image.png", image)}
    answer = await client.post("/predict", files=files, data={"model": model_id})
    answer.raise_for_status()
    return time.perf_counter() - start


# ---- the page and the command line ---------------------------------------------------------------


def _others(model_id: str, home: Path, images: list[bytes]) -> Iterator[Row]:
    model = _opened(model_id, home)

    def read(image: bytes) -> float:
        start = time.perf_counter()
        model.predict(open_image(image, "image.png").samples())
        return time.perf_counter() - start

    read(images[0])
    with ThreadPoolExecutor(CLIENTS) as readers:
        start = time.perf_counter()
        seconds = list(readers.map(read, images))
        whole = time.perf_counter() - start
    yield Row(name=f"{model_id}: page's path", value=len(images) / whole, unit="/s")
    median = 1000 * statistics.median(seconds)
    yield Row(name=f"{model_id}: response, page's path, median", value=median, unit="ms")
    rate = len(images) / _command_line(model_id, home, images)
    yield Row(name=f"{model_id}: command line, its start included", value=rate, unit="/s")


def _command_line(model_id: str, home: Path, images: list[bytes]) -> float:
    """Seconds of one call for all images."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        files = [place / f"{i}.png" for i in range(len(images))]
        for file, image in zip(files, images, strict=True):
            file.write_bytes(image)
        command = [sys.executable, "-m", "fracture_core", "predict", *map(str, files)]
        start = time.perf_counter()
        subprocess.run(
            [*command, "--model", model_id, "--out", str(place / "out.json")],
            env={**os.environ, "FRACTURE_HOME": str(home)},
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - start
