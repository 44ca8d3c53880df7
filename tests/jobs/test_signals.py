"""A trainer that a signal ended: which one, and what to try."""

import pytest

from fracture_core.jobs.job import Record
from fracture_core.jobs.reading import _why
from fracture_core.runs import RunFolder


@pytest.mark.parametrize(
    ("code", "name", "advice"),
    [
        (-6, "SIGABRT", "channels_last=false"),
        (134, "SIGABRT", "channels_last=false"),
        (-11, "SIGSEGV", "channels_last=false"),
        (139, "SIGSEGV", "channels_last=false"),
        (-9, "SIGKILL", "smaller batch"),
        (137, "SIGKILL", "smaller batch"),
        (-15, "SIGTERM", ""),
    ],
)
def test_the_signal_and_what_to_try_are_said(code, name, advice, tmp_path) -> None:
    said = _why(RunFolder(path=tmp_path), Record.model_construct(), code)
    assert said.startswith(f"Killed by {name}.")
    assert advice in said


def test_an_ordinary_exit_code_is_no_signal(tmp_path) -> None:
    said = _why(RunFolder(path=tmp_path), Record.model_construct(), 2)
    assert said == "Ended with exit code 2 and said nothing."
