"""Batches, crowds and workers that end."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from fracture_core.service.app import Service
from fracture_core.service.limits import Limits, Refusal
from fracture_core.service.messages import PredictOptions, Query, Reply, Upload
from fracture_core.service.meters import Meters
from fracture_core.service.pace import Pace
from fracture_core.service.pool import Pool
from tests.support import stub_worker
from tests.support.service_clients import async_client, files, png

STUB = (sys.executable, "-S", str(Path(stub_worker.__file__)))


def in_a_thread(main: Coroutine[None, None, None]) -> None:
    """Runs it in a thread of its own: a browser that another test left has its loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, main).result()


def run(limits: Limits, body: Callable[[Pool], Awaitable[None]]) -> None:
    """Runs the body on a pool of stubs."""

    async def main() -> None:
        pool = Pool(limits, Meters(), STUB)
        pool.start()
        try:
            await body(pool)
        finally:
            await pool.close()

    in_a_thread(main())


async def ask(pool: Pool, name: str = "a", *, model: str = "fake", count: int = 1) -> Reply:
    uploads = tuple(Upload(name=name, data=b"pixels") for _ in range(count))
    return await pool.ask("predict", model, "", Query(options=PredictOptions(), uploads=uploads))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.02)


def test_what_waits_for_the_same_model_is_one_batch_up_to_its_size() -> None:
    async def body(pool: Pool) -> None:
        replies = await asyncio.gather(*(ask(pool) for _ in range(6)))
        assert [reply.body for reply in replies] == [b"4"] * 4 + [b"2"] * 2
        mixed = await asyncio.gather(*(ask(pool, model=each) for each in "abababa"))
        assert [reply.body for reply in mixed] == [b"4", b"3"] * 3 + [b"4"]
        large = await asyncio.gather(*(ask(pool, count=3) for _ in range(3)))
        assert [reply.body for reply in large] == [b"1"] * 3

    run(Limits(most_batch=4, wait_seconds=0.05, adapt=False), body)


def test_batches_are_made_where_they_are_faster() -> None:
    pace = Pace()
    assert pace.batches_pay()
    for _ in range(3):
        pace.note(files=8, seconds=0.9)
    assert not pace.batches_pay()
    for _ in range(3):
        pace.note(files=1, seconds=0.1)
    chosen = [pace.batches_pay() for _ in range(50)]
    # Dearer together, and now and then tried all the same.
    assert chosen.count(True) == 2
    for _ in range(5):
        pace.note(files=8, seconds=0.2)
    assert [pace.batches_pay() for _ in range(50)].count(False) == 2


def test_a_pool_stops_making_batches_that_do_not_pay() -> None:
    async def body(pool: Pool) -> None:
        # The stub takes its time for each batch of more than one.
        sizes = [
            [reply.body for reply in await asyncio.gather(*(ask(pool, "slow") for _ in range(4)))]
            for _ in range(8)
        ]
        assert sizes[0] == [b"4"] * 4
        assert sizes[-1] == [b"1"] * 4

    run(Limits(most_batch=4, wait_seconds=0.01), body)


def test_the_others_of_a_batch_are_answered_when_one_ends_the_worker() -> None:
    async def body(pool: Pool) -> None:
        asked = [ask(pool, name) for name in ("a", "die", "b")]
        first, ended, last = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(first, Reply)
        assert isinstance(last, Reply)
        assert isinstance(ended, Refusal)
        assert ended.status_code == 503
        assert pool.restarts == 2
        assert (await ask(pool)).body == b"1"

    run(Limits(wait_seconds=0.05), body)


def test_the_others_of_a_batch_are_answered_when_one_takes_too_long() -> None:
    async def body(pool: Pool) -> None:
        asked = [ask(pool, name) for name in ("a", "sleep", "b")]
        first, ended, last = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(first, Reply)
        assert isinstance(last, Reply)
        assert isinstance(ended, Refusal)
        assert ended.status_code == 504
        assert "longer than 1 s" in ended.detail

    run(Limits(seconds=1, wait_seconds=0.05), body)


def test_a_worker_that_answers_nonsense_is_replaced() -> None:
    async def body(pool: Pool) -> None:
        with pytest.raises(Refusal) as refused:
            await ask(pool, "garbage")
        assert refused.value.status_code == 503
        assert (await ask(pool)).status == 200

    run(Limits(), body)


def test_what_no_worker_takes_in_time_is_refused_and_opening_has_its_own_limit() -> None:
    async def body(pool: Pool) -> None:
        slow = asyncio.create_task(ask(pool, model="slow to open"))
        await until(lambda: pool.waiting == 0)
        ended = await asyncio.gather(ask(pool), ask(pool), return_exceptions=True)
        assert [each.status_code for each in ended if isinstance(each, Refusal)] == [503, 503]
        assert (await slow).status == 200
        assert pool.waiting == pool.restarts == 0

    run(Limits(seconds=0.5, wait_seconds=0), body)


def test_a_worker_that_ends_while_it_waits_comes_back() -> None:
    async def body(pool: Pool) -> None:
        await until(lambda: len(pool.pids) == 2)
        before = set(pool.pids)
        os.kill(pool.pids[0], signal.SIGKILL)
        await until(lambda: pool.restarts == 1 and len(pool.pids) == 2)
        assert len(before & set(pool.pids)) == 1
        assert (await ask(pool)).body == b"1"

    run(Limits(workers=2), body)


def test_a_worker_that_cannot_be_started_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = tmp_path / "worker"

    async def main() -> None:
        pool = Pool(Limits(), Meters(), (str(program), *STUB[1:]))
        pool.start()
        asking = asyncio.create_task(ask(pool))
        await until(lambda: pool.restarts >= 2)
        assert pool.pids == []
        program.symlink_to(sys.executable)
        assert (await asking).body == b"1"
        await pool.close()

    in_a_thread(main())
    assert "could not be started" in caplog.text


def test_requests_without_an_answer_are_refused_when_the_service_ends() -> None:
    async def main() -> None:
        pool = Pool(Limits(most_batch=1), Meters(), STUB)
        pool.start()
        asked = [asyncio.create_task(ask(pool, "sleep")) for _ in range(2)]
        await until(lambda: pool.waiting == 1)
        await pool.close()
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(each, Refusal) and each.status_code == 503 for each in ended)
        assert pool.pids == []

    in_a_thread(main())


# ---- the real worker -----------------------------------------------------------------------------

LIMITS = Limits(most_in_flight=50, wait_seconds=0.01, seconds=300, adapt=False)


def test_200_at_once_are_answered_or_refused_and_a_killed_worker_comes_back() -> None:
    async def main() -> None:
        async with async_client(LIMITS) as (asked, service):
            await _crowd(asked, service)
            await _kill(asked, service)

    in_a_thread(main())


async def _crowd(asked: httpx.AsyncClient, service: Service) -> None:
    sent = [png(40, 50, seed=i) for i in range(4)]
    alone = [await asked.post("/predict", files=files(each)) for each in sent]
    answers = await asyncio.gather(
        *(asked.post("/predict", files=files(sent[i % 4])) for i in range(200))
    )
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}
    assert statuses[200] >= 50
    for i, answer in enumerate(answers):
        if answer.status_code == 429:
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        else:
            # Each gets its own image's answer, whoever shared its batch.
            assert _facts(answer) == _facts(alone[i % 4])
    read = service.meters.text().decode()
    batches = _value(read, 'fracture_batch_requests_count{kind="predict"}') - len(alone)
    assert batches <= statuses[200] / 3
    assert service.intake.in_flight == service.pool.waiting == 0


async def _kill(asked: httpx.AsyncClient, service: Service) -> None:
    (pid,) = service.pool.pids
    os.kill(pid, signal.SIGSTOP)
    asking = asyncio.create_task(asked.post("/predict", files=files(png())))
    await until(lambda: service.intake.in_flight == 1 and service.pool.waiting == 0)
    await asyncio.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    assert (await asking).status_code == 200
    assert service.pool.restarts == 1
    assert (await asked.get("/health")).json()["workers"] == 1


def _facts(answer: httpx.Response) -> object:
    (image,) = answer.json()["images"]
    return image["sha256"], image["frames"][0]["image_score"], image["frames"][0]["findings"]


def _value(text: str, name: str) -> float:
    (line,) = (line for line in text.splitlines() if line.startswith(name))
    return float(line.split()[-1])
