"""Chunks worked through by several processes, a bounded number of them under way at once."""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait as wait_for

from fracture_core.conversion.chunks import Chunk
from fracture_core.errors import ConfigError

_AHEAD = 2


def work_through(chunks: Sequence[Chunk], workers: int) -> Iterator[int]:
    """Runs every chunk and yields the pictures of each as it is done, in any order."""
    workers = min(workers, len(chunks))
    if workers <= 1:
        yield from (chunk.run() for chunk in chunks)
        return
    # Not forked: a process with threads (the progress bar has one) cannot be copied safely.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    try:
        yield from _run_all(pool, iter(chunks), _AHEAD * workers)
    except BrokenProcessPool as error:
        raise ConfigError(
            "workers",
            expected="processes that live to the end",
            found="one that was ended, most often for want of memory",
            advice="Run the same command with fewer --workers: what is done is kept.",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_all(pool: ProcessPoolExecutor, chunks: Iterator[Chunk], most: int) -> Iterator[int]:
    waiting: set[Future[int]] = set()
    while True:
        waiting |= {pool.submit(chunk.run) for chunk in islice(chunks, most - len(waiting))}
        if not waiting:
            return
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


def _end_with_parent() -> None:
    """A pool's process waits for ever where its parent was killed; this one ends as well."""
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)
