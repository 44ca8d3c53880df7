"""Who is let in: the key, the open address, the numbers a service may be given."""

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from fracture_core import service
from fracture_core.cli import app as commands
from fracture_core.errors import ConfigError
from fracture_core.service.app import create_app
from fracture_core.service.limits import Intake, Limits, Refusal
from fracture_core.service.serving import check_address
from fracture_core.settings import settings
from tests.support.service_clients import BASE, files, png

KEY = "a-key-of-24-characters-x"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FRACTURE_API_KEY", KEY)
    settings.cache_clear()
    return KEY


def test_with_a_key_only_health_answers_without_it(key: str) -> None:
    # Without a lifespan no worker is started: nothing here gets that far.
    asked = TestClient(create_app(), base_url=BASE)
    assert asked.get("/health").status_code == 503
    for given in ({}, {"X-API-Key": "another"}, {"X-API-Key": key + "x"}, {"X-API-Key": ""}):
        for path in ("/models", "/metrics", "/openapi.json"):
            assert asked.get(path, headers=given).status_code == 401
        refused = asked.post("/predict", files=files(png()), headers=given)
        assert refused.status_code == 401
        assert "WWW-Authenticate" in refused.headers
        assert key not in refused.text
    assert asked.get("/models", headers={"X-API-Key": key}).status_code == 200


@pytest.mark.parametrize("text", ["short", "sixteen letters and spaces", "ä" * 20])
def test_a_key_that_can_be_guessed_or_not_be_sent_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRACTURE_API_KEY", text)
    settings.cache_clear()
    with pytest.raises(ConfigError, match="16 printable") as error:
        settings()
    assert text not in str(error.value)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1"])
def test_an_address_of_this_machine_needs_no_key(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.5", ""])
def test_an_open_address_needs_a_key_or_a_word(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="FRACTURE_API_KEY"):
        check_address(address)
    monkeypatch.setenv("FRACTURE_ALLOW_REMOTE", "1")
    settings.cache_clear()
    check_address(address)
    monkeypatch.setenv("FRACTURE_ALLOW_REMOTE", "0")
    monkeypatch.setenv("FRACTURE_API_KEY", KEY)
    settings.cache_clear()
    check_address(address)


def test_the_command_refuses_an_open_address_before_it_listens() -> None:
    ended = CliRunner().invoke(commands, ["serve", "--host", "0.0.0.0"])
    assert isinstance(ended.exception, ConfigError)
    assert "FRACTURE_API_KEY" in str(ended.exception)


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "find_spec", lambda name: None)
    ended = CliRunner().invoke(commands, ["serve"])
    assert isinstance(ended.exception, ConfigError)
    assert "pip install '.[service]'" in str(ended.exception)


def test_the_intake_is_bounded_in_requests_and_in_bytes() -> None:
    intake = Intake(Limits(most_in_flight=2, most_held_bytes=100))
    intake.enter(60, retry_after=3)
    with pytest.raises(Refusal) as full:
        intake.enter(60, retry_after=3)
    assert (full.value.status_code, full.value.headers) == (429, {"Retry-After": "3"})
    intake.enter(10, retry_after=3)
    with pytest.raises(Refusal):
        intake.enter(1, retry_after=3)
    intake.leave(60)
    intake.enter(1, retry_after=3)
    assert intake.in_flight == 2


@pytest.mark.parametrize(
    "changes", [{"workers": 0}, {"most_files": -1}, {"seconds": 0}, {"wait_seconds": 2}]
)
def test_numbers_that_cannot_be_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Limits(**changes)
