"""What there is to run on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fracture_core.errors import ConfigError
from fracture_core.jobs import processes
from fracture_core.jobs.processes import free_gb, list_devices


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Puts a program in the place of the driver's."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program = tmp_path / "nvidia-smi"

    def install(text: str) -> None:
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        processes._ask_driver.cache_clear()

    processes._ask_driver.cache_clear()
    yield install
    processes._ask_driver.cache_clear()


@pytest.mark.parametrize(
    ("named", "found"),
    [("", ("cpu",)), ("-1", ("cpu",)), ("2", ("2",)), ("0, GPU-8f", ("0", "GPU-8f"))],
)
def test_what_the_environment_names_counts(named, found, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert list_devices() == found


def test_the_driver_is_asked(driver):
    driver("printf '0\\n1\\n'")
    assert list_devices() == ("0", "1")
    driver("echo 'No devices were found'; exit 6")
    assert list_devices() == ("cpu",)


def test_free_memory_is_the_drivers_or_the_systems(driver):
    driver("echo 2048")
    assert free_gb("0") == 2048 * 2**20 / 1e9
    driver("echo '[N/A]'")
    assert free_gb("0") == 0
    assert free_gb("cpu") > 0


def test_a_driver_that_hangs_is_a_sentence(driver, monkeypatch):
    monkeypatch.setattr(processes, "DRIVER_SECONDS", 0.2)
    driver("exec sleep 30")
    with pytest.raises(ConfigError, match=r"nvidia-smi: expected the GPUs .*TimeoutExpired"):
        list_devices()
