"""Schemathesis makes requests of the OpenAPI document: none may end in an error of the server."""

import socket
import threading
from collections.abc import Iterator
from unittest import SkipTest

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fracture_core.service.app import create_app
from fracture_core.service.limits import Limits
from tests.support.service_clients import png

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
IMAGE = png(24, 30)
seeded = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on this machine with a worker of its own."""
    with pytest.MonkeyPatch.context() as patch, socket.socket() as listening:
        patch.setenv("FRACTURE_HOME", str(tmp_path_factory.mktemp("service")))
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(Limits()), log_level="warning", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_of_the_document_ends_in_an_error_of_the_server(
    address: str, mode: GenerationMode
) -> None:
    document = schemathesis.openapi.from_url(f"{address}/openapi.json", wait_for_schema=30)
    statuses: dict[str, set[int]] = {}

    def ask(case: schemathesis.Case) -> None:
        answers = [case.call_and_validate(checks=CHECKS, timeout=120)]
        if isinstance(case.body, dict) and case.path == "/predict":
            # Bytes at random are never an image: the same once more with one.
            case.body = {**case.body, "files": [IMAGE], "model": "fake"}
            answers.append(case.call_and_validate(checks=CHECKS, timeout=120))
        if isinstance(case.body, dict) and case.path == "/explain":
            case.body = {**case.body, "file": IMAGE, "model": "fake"}
            answers.append(case.call_and_validate(checks=CHECKS, timeout=120))
        statuses.setdefault(case.path, set()).update(each.status_code for each in answers)

    for found in document.get_all_operations():
        try:
            seeded(given(found.ok().as_strategy(generation_mode=mode))(ask))()
        except SkipTest:
            # What takes nothing cannot be asked for wrongly.
            continue
    if mode is GenerationMode.POSITIVE:
        assert set(statuses) == {"/predict", "/explain", "/models", "/health", "/metrics"}
        assert statuses["/predict"] >= {200, 400}
        assert statuses["/explain"] >= {200, 400}
    else:
        assert statuses["/predict"] >= {422}
