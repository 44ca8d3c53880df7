"""Schemathesis makes requests of the OpenAPI document: none may end in an error of the server."""

import socket
import threading
from collections.abc import Iterator

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fracture_core.service.app import create_app
from fracture_core.service.limits import Limits

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_EXAMPLES = 40


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
def test_no_request_of_the_document_ends_in_an_error_of_the_server(address: str) -> None:
    document = schemathesis.openapi.from_url(f"{address}/openapi.json", wait_for_schema=30)
    seen: dict[str, int] = {}
    for found in document.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=_EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @schemathesis_given(operation)
        def ask(case: schemathesis.Case) -> None:
            answer = case.call_and_validate(checks=CHECKS)
            seen[case.path] = seen.get(case.path, 0) + 1

        ask()
    assert set(seen) == {"/predict", "/explain", "/models", "/health", "/metrics"}
