"""The end of what a run printed."""

import os

from fracture_core.runs import RunFolder

TAIL_BYTES = 64_000


def read_tail(run: RunFolder, limit: int = TAIL_BYTES) -> str:
    """The last whole lines of log.txt, at most `limit` bytes; empty where there is none."""
    try:
        with run.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            data = file.read(limit)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if size > limit:
        data = data.partition(b"\n")[2] or data
    return data.decode("utf-8", errors="replace").replace("\r\n", "\n")


def last_line(run: RunFolder) -> str:
    """The last line with anything in it, at most 300 characters."""
    lines = read_tail(run, 4_000).split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")
