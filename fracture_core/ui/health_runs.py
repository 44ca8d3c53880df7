"""Health checks beside the pages: each in a thread, so that a page stays free while one runs."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from fracture_core import importing
from fracture_core.errors import WorkbenchError
from fracture_core.health import HealthReport, Limits, check_health


class _Stopped(Exception):
    """The reader does not want it any more."""


@dataclass(slots=True)
class HealthRun:
    """One check: `share` done and `words` about it, then `report`, or `error` in a sentence."""

    path: Path
    limits: Limits
    share: float = 0.0
    words: str = "Opening the data set"
    report: HealthReport | None = None
    error: str = ""
    _thread: threading.Thread | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin, or begin anew; a second call while it runs does nothing."""
        if self.is_running:
            return
        self.share, self.words, self.report, self.error = 0.0, "Opening the data set", None, ""
        self._stop.clear()
        self._thread = threading.Thread(target=self._check, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it at the next picture; nothing is kept."""
        self._stop.set()

    def _check(self) -> None:
        with importing.LOCK:
            from fracture_core.datasets import open_dataset

        try:
            # Opened anew: a page holds a data set as it was before a file in a folder changed.
            self.report = check_health(open_dataset(self.path), self.limits, progress=self._note)
        except _Stopped:
            self.error = "The check was stopped."
        except WorkbenchError as error:
            self.error = str(error)
        except Exception as error:
            self.error = f"The check ended with an error of its own: {type(error).__name__}."
            raise

    def _note(self, share: float, words: str) -> None:
        if self._stop.is_set():
            raise _Stopped
        self.share, self.words = share, words


@st.cache_resource(max_entries=8, show_spinner=False)
def health_run(path: str, stamp: int, limits: Limits) -> HealthRun:
    """The check of a data set in this state and with these limits, made at first and then found."""
    # The stamp is part of the key: a data set changed on disk is checked anew.
    return HealthRun(path=Path(path).expanduser(), limits=limits)
