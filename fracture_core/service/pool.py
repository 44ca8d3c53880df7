"""The workers, and what waits for them: requests for the same model are answered as one batch.

A worker that ends, or that takes too long and is killed, is replaced. The requests that it had are
asked once more, each alone, as one of them may be what ended it.
"""

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fracture_core.service.limits import Limits, Refusal
from fracture_core.service.messages import (
    LENGTH_BYTES,
    Kind,
    Query,
    Reply,
    Work,
    pack_work,
    read_lengths,
    unpack_replies,
)
from fracture_core.service.meters import Meters
from fracture_core.service.pace import Pace

WORKER_COMMAND = (sys.executable, "-m", "fracture_core.service.worker")
_ENDS = Refusal(503, "The service ends.", retry_after=5)
_LOG = logging.getLogger(__name__)
_MOST_TRIES = 2
_LONGEST_PAUSE_SECONDS = 5.0
_BUFFER_BYTES = 1 << 20


# ---- one worker ----------------------------------------------------------------------------------


class WorkerEnded(Exception):
    """The worker process has ended before it answered, or what it answered makes no sense."""


class Worker:
    """A worker process and the way to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.ended = asyncio.ensure_future(process.wait())

    @classmethod
    async def start(cls, command: Sequence[str], workers: int) -> "Worker":
        """Start one of so many workers, which share the cores."""
        threads = max(1, (os.cpu_count() or 1) // workers)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_BUFFER_BYTES,
            # Of Ctrl+C only the service is told, and ends its workers.
            start_new_session=True,
            env=_environment(threads),
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    async def ask(self, work: Work) -> list[Reply]:
        """Return a reply for each query; raises WorkerEnded."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101
        assert stdout is not None  # noqa: S101
        try:
            for part in pack_work(work):
                stdin.write(part)
                await stdin.drain()
            header, rest = read_lengths(await stdout.readexactly(LENGTH_BYTES))
            told = await stdout.readexactly(header)
            replies = unpack_replies(told, await stdout.readexactly(rest))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            raise WorkerEnded from error
        if len(replies) != len(work.queries):
            raise WorkerEnded
        return replies

    async def kill(self) -> None:
        """End the process at once, if it lives."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self.ended


def _environment(threads: int) -> dict[str, str]:
    """What a worker may know: the key is none of its business."""
    known = {name: text for name, text in os.environ.items() if name != "FRACTURE_API_KEY"}
    return {"OMP_NUM_THREADS": str(threads), **known}


# ---- the queue -----------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True, eq=False)
class _Ticket:
    """A request that waits; with `alone` no other shares its batch."""

    key: tuple[Kind, str, str]
    query: Query
    reply: "asyncio.Future[Reply]"
    since: float = field(default_factory=time.monotonic)
    tries: int = 0
    alone: bool = False

    @property
    def files(self) -> int:
        return len(self.query.uploads)


class Pool:
    """Worker processes, each started by `command`, and the requests that wait for them."""

    def __init__(
        self, limits: Limits, meters: Meters, command: Sequence[str] = WORKER_COMMAND
    ) -> None:
        self._limits, self._meters, self._command = limits, meters, command
        self._waiting: deque[_Ticket] = deque()
        self._arrived = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._workers: dict[int, Worker] = {}
        self._seconds_each = 1.0
        self._paces: defaultdict[tuple[Kind, str, str], Pace] = defaultdict(Pace)
        self.restarts = 0

    @property
    def pids(self) -> list[int]:
        """The ids of the worker processes that live."""
        return [worker.pid for worker in self._workers.values() if not worker.ended.done()]

    @property
    def waiting(self) -> int:
        """How many requests no worker has taken yet."""
        return len(self._waiting)

    @property
    def retry_after(self) -> int:
        """In how many seconds the queue will be shorter, as far as can be told."""
        seconds = self._seconds_each * (self.waiting + 1) / self._limits.workers
        return min(60, max(1, round(seconds)))

    def start(self) -> None:
        """Start the workers; returns before they live."""
        self._keepers = [
            asyncio.create_task(self._keep(slot)) for slot in range(self._limits.workers)
        ]

    async def close(self) -> None:
        """End the workers; requests without an answer are refused."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for ticket in self._waiting:
            _refuse(ticket, _ENDS)

    async def ask(self, kind: Kind, model_id: str, weights_sha256: str, query: Query) -> Reply:
        """Return the answer to a request; raises Refusal where there is none in time."""
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        ticket = _Ticket(key=(kind, model_id, weights_sha256), query=query, reply=reply)
        self._put([ticket])
        try:
            return await asyncio.wait_for(asyncio.shield(reply), self._limits.seconds)
        except TimeoutError:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                sentence = "No worker was free in time."
                raise Refusal(503, sentence, retry_after=self.retry_after) from None
            # A worker has it, and has a limit of its own.
            return await reply

    # ---- batches ----

    async def _take(self) -> list[_Ticket]:
        """The next batch: the oldest request, and those for the same model as far as they fit."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        batch = [self._waiting.popleft()]
        try:
            if self._batches_pay(batch[0]) and self._joins(batch):
                await asyncio.sleep(self._limits.wait_seconds)
                self._joins(batch)
        except asyncio.CancelledError:
            self._put_back(batch)
            raise
        return batch

    def _batches_pay(self, first: _Ticket) -> bool:
        alone = first.alone or first.key[0] == "explain" or self._limits.most_batch == 1
        return not alone and (not self._limits.adapt or self._paces[first.key].batches_pay())

    def _joins(self, batch: list[_Ticket]) -> bool:
        """Moves what fits into the batch; whether more would."""
        first, room = batch[0], self._limits.most_batch - sum(each.files for each in batch)
        for ticket in list(self._waiting):
            if room <= 0:
                return False
            if ticket.key == first.key and not ticket.alone and ticket.files <= room:
                self._waiting.remove(ticket)
                batch.append(ticket)
                room -= ticket.files
        return room > 0

    def _put(self, tickets: list[_Ticket]) -> None:
        self._waiting.extend(tickets)
        self._arrived.set()

    def _put_back(self, tickets: list[_Ticket]) -> None:
        """Has them before all that came later."""
        self._waiting.extendleft(reversed(tickets))
        self._arrived.set()

    # ---- workers ----

    async def _keep(self, slot: int) -> None:
        """Has a worker live in this slot for as long as the service does."""
        pause = 0.0
        while True:
            started = time.monotonic()
            try:
                await self._live(slot)
            except OSError:
                _LOG.exception("a worker could not be started")
            self.restarts += 1
            self._meters.restarts.inc()
            # One that ends as soon as it starts would otherwise be started without a pause.
            lived = time.monotonic() - started > _LONGEST_PAUSE_SECONDS
            pause = 0.0 if lived else min(_LONGEST_PAUSE_SECONDS, 2 * pause + 0.1)
            await asyncio.sleep(pause)

    async def _live(self, slot: int) -> None:
        """The life of one worker; raises OSError where it cannot be started."""
        worker = await Worker.start(self._command, self._limits.workers)
        self._workers[slot] = worker
        try:
            await self._serve(worker)
        finally:
            await asyncio.shield(worker.kill())
        _LOG.warning("worker %d ended with %s and is replaced", worker.pid, worker.ended.result())

    async def _serve(self, worker: Worker) -> None:
        """Hands batches to a worker until it ends."""
        while not worker.ended.done():
            taking = asyncio.create_task(self._take())
            try:
                await asyncio.wait({taking, worker.ended}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                taking.cancel()
                (batch,) = await asyncio.gather(taking, return_exceptions=True)
            if isinstance(batch, BaseException):
                continue
            if worker.ended.done():
                self._put_back(batch)
            else:
                await self._run(worker, batch)

    async def _run(self, worker: Worker, batch: list[_Ticket]) -> None:
        kind, model_id, weights_sha256 = batch[0].key
        opening = Work(kind="open", model_id=model_id, weights_sha256=weights_sha256)
        work = replace(opening, kind=kind, queries=tuple(ticket.query for ticket in batch))
        limit = self._limits.open_seconds
        try:
            # A model that is opened for the first time takes longer than a request may.
            await asyncio.wait_for(worker.ask(opening), limit)
            limit, start = self._limits.seconds, time.monotonic()
            replies = await asyncio.wait_for(worker.ask(work), limit)
        except TimeoutError:
            await worker.kill()
            sentence = f"It took longer than {limit:g} s."
            self._again(batch, Refusal(504, sentence), tries=1 if len(batch) == 1 else _MOST_TRIES)
        except WorkerEnded:
            await worker.kill()
            sentence = "The process that read it ended before it answered."
            self._again(batch, Refusal(503, sentence, retry_after=1), tries=_MOST_TRIES)
        except asyncio.CancelledError:
            self._again(batch, _ENDS, tries=1)
            raise
        else:
            self._answered(batch, replies, time.monotonic() - start)

    def _answered(self, batch: list[_Ticket], replies: list[Reply], seconds: float) -> None:
        self._seconds_each += 0.2 * (seconds / len(batch) - self._seconds_each)
        files = sum(ticket.files for ticket in batch)
        self._paces[batch[0].key].note(files=files, seconds=seconds)
        kind, model_id, _ = batch[0].key
        self._meters.count_batch(kind, model_id, len(batch), sum(each.images for each in replies))
        for ticket, reply in zip(batch, replies, strict=True):
            if not ticket.reply.done():
                ticket.reply.set_result(reply)

    def _again(self, batch: list[_Ticket], refusal: Refusal, *, tries: int) -> None:
        """Has each asked once more, alone, and refuses what was tried often enough."""
        for ticket in batch:
            ticket.tries += 1
            ticket.alone = True
            if ticket.tries >= tries:
                _refuse(ticket, refusal)
        self._put_back([ticket for ticket in batch if not ticket.reply.done()])


def _refuse(ticket: _Ticket, refusal: Refusal) -> None:
    if not ticket.reply.done():
        ticket.reply.set_exception(refusal)
