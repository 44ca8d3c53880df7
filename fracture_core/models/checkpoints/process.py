"""Starts the process that reads a weights file, and takes its answer.

A file from elsewhere can be made to keep its reader busy or to fill its memory in ways that nobody
thought of. So it is read in a process of its own, which has little memory, little time, nothing to
write to and nothing but Python's own library to import; all that comes back is a bounded list of
where the tensors lie.
"""

import json
import logging
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fracture_core.errors import WeightsError
from fracture_core.models.checkpoints.limits import TensorPlace

_log = logging.getLogger(__name__)

Kind = Literal["state dict", "yolo"]
MEMORY_BYTES = 512 << 20
SECONDS = 2
_BYTES_A_SECOND = 50 << 20
# The reader's own time on the processor is limited. As others may want the processor too, it is
# given this many times as long by the clock.
_PATIENCE = 15
_ROOT = Path(__file__).parents[3]
# Isolated (-I, -S): neither the environment nor installed packages have a say.
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from fracture_core.models.checkpoints.reader import main; main(*sys.argv[1:])"
)
_TOO_SLOW = "one that takes more than {seconds} s to read"
_ENDED = "one that its reader did not survive ({how})"
_HOSTILE = "The file is damaged or hostile: do not use it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Where a file's tensors lie, and what else its reader found.

    Of a YOLO checkpoint `facts` holds `architecture`, `classes` and `input_size`, of a state dict
    nothing.
    """

    places: dict[str, TensorPlace]
    facts: dict[str, Any]


def read_contents(path: Path, kind: Kind) -> Contents:
    """Returns what a weights file says of itself.

    Raises WeightsError, and runs nothing in the file.
    """
    if not path.is_file():
        raise WeightsError(path, expected="a weights file", found="no such file")
    answer: dict[str, Any] = json.loads(_ask(path, kind))
    if "refused" in answer:
        raise WeightsError(path, **answer["refused"])
    rows = answer.pop("tensors")
    return Contents(places={name: _place(row) for name, row in rows.items()}, facts=answer)


def _place(row: list[Any]) -> TensorPlace:
    dtype, start, length, offset, size, stride = row
    return TensorPlace(
        dtype=dtype,
        start=start,
        length=length,
        offset=offset,
        size=tuple(size),
        stride=tuple(stride),
    )


def _ask(path: Path, kind: Kind) -> bytes:
    seconds = SECONDS + path.stat().st_size // _BYTES_A_SECOND
    limits = (str(seconds), str(MEMORY_BYTES))
    options = ("-I", "-S", "-W", "ignore", "-X", "utf8")
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and program
            [sys.executable, *options, "-c", _PROGRAM, _ROOT, kind, path.absolute(), *limits],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(path, _TOO_SLOW.format(seconds=_PATIENCE * seconds)) from error
    if done.returncode == 0:
        return done.stdout
    if -done.returncode in {signal.SIGKILL, getattr(signal, "SIGXCPU", None)}:
        raise _refused(path, _TOO_SLOW.format(seconds=seconds))
    _log.error("The reader of %s ended with %s: %s", path, done.returncode, done.stderr.decode())
    raise _refused(path, _ENDED.format(how=_how(done.returncode, done.stderr)))


def _how(code: int, stderr: bytes) -> str:
    if code < 0:
        return signal.Signals(-code).name
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:100] if lines else f"exit code {code}"


def _refused(path: Path, found: str) -> WeightsError:
    return WeightsError(path, expected="a weights file", found=found, advice=_HOSTILE)
