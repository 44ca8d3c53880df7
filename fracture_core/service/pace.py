"""Whether a model is faster with a batch than with one file after the other.

For small networks it is; on a CPU large images can be slower together. So both are measured while
requests are answered.
"""

from collections import deque
from statistics import median

_ENOUGH = 3
_TRY_AGAIN = 25


class Pace:
    """The latest runs of one model: seconds a file, alone and in batches.

    Example:
        >>> pace = Pace()
        >>> for _ in range(3):
        ...     pace.note(files=1, seconds=0.1)
        ...     pace.note(files=8, seconds=0.4)
        >>> pace.batches_pay()
        True
    """

    def __init__(self) -> None:
        self._alone: deque[float] = deque(maxlen=5)
        self._together: deque[float] = deque(maxlen=5)
        self._asked = 0

    def note(self, *, files: int, seconds: float) -> None:
        """Note how long a run of so many files took."""
        (self._alone if files == 1 else self._together).append(seconds / files)

    def batches_pay(self) -> bool:
        """Return whether the next files should be read together.

        Until both ways are known it is the one that is not, batches first; after that the faster
        one, and now and then the other, as what is asked changes.
        """
        self._asked += 1
        if len(self._together) < _ENOUGH:
            return True
        if len(self._alone) < _ENOUGH:
            return False
        faster = median(self._together) <= median(self._alone)
        return faster != (self._asked % _TRY_AGAIN == 0)
