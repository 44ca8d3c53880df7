"""What can be said about a job."""

from dataclasses import dataclass
from enum import StrEnum

from fracture_core.jobs.records import CARD, Attempt, Result
from fracture_core.runs import EVALUATION, Kind, RunFolder


class State(StrEnum):
    """Where a job stands.

    `stopped`: asked to, and none of its processes is left · `failed`: ended by an error of its own,
    or by a signal · `lost`: gone without a word, as after a power cut.
    """

    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    LOST = "lost"
    SUCCEEDED = "succeeded"

    @property
    def is_over(self) -> bool:
        return self not in (State.QUEUED, State.RUNNING, State.STOPPING)

    @property
    def can_resume(self) -> bool:
        return self in (State.STOPPED, State.FAILED, State.LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A submitted run as it stands now; times are seconds since 1970.

    `detail` is a sentence for people, or empty · `exit_code` None = not ended, or nobody knows ·
    `settled`: it is over and nothing of it is left.
    """

    run: RunFolder
    state: State
    detail: str = ""
    runner: str = ""
    submitted: float = 0.0
    position: float = 0.0
    started: float | None = None
    ended: float | None = None
    device: str = ""
    exit_code: int | None = None
    retries: int = 0
    max_retries: int = 0
    attempts: tuple[Attempt, ...] = ()
    result: Result = CARD
    settled: bool = False

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def kind(self) -> Kind:
        return "training" if self.result == CARD else EVALUATION
