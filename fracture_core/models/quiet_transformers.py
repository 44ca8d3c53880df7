"""transformers and huggingface_hub imported so that they report nothing and draw no progress.

They read their switches from the environment on import; one that is already set is kept, so that
HF_HUB_OFFLINE and a user's own settings hold.
"""

import importlib
import importlib.util
import os
import threading
from types import ModuleType

_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
# Its modules load parts of each other on first use, which two threads may not do at once.
_LOCK = threading.RLock()


def part(name: str) -> ModuleType:
    """A module by its full name, such as "transformers" or "huggingface_hub.errors"."""
    with _LOCK:
        for key, value in _ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        return importlib.import_module(name)
