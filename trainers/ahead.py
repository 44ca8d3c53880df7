"""Work done by threads ahead of the one that wants it, in order, a bounded part of it at once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_From = TypeVar("_From")
_To = TypeVar("_To")


def in_order(
    function: Callable[[_From], _To],
    items: Iterable[_From],
    *,
    workers: int,
    start: Callable[[], None] | None = None,
) -> Iterator[_To]:
    """`function` of each item, one more under way than there are workers.

    Items are taken by the caller's thread; `start` is called in each thread first. Threads end
    with the iterator.
    """
    waiting: deque[Future[_To]] = deque()
    rest = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="ahead", initializer=start) as pool:
        try:
            while True:
                more = islice(rest, workers + 1 - len(waiting))
                waiting.extend(pool.submit(function, item) for item in more)
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
