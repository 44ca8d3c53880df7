"""transformers and huggingface_hub, imported so that they report nothing and draw no progress.

They read their switches from the environment on import. A switch that is already set is kept, so
that HF_HUB_OFFLINE and a user's own settings hold.
"""

import os
from types import ModuleType
from typing import Any

from fracture_core import importing

_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


def part(name: str) -> ModuleType:
    """Imports and returns a module by its full name, such as "huggingface_hub.errors"."""
    with importing.LOCK:
        for key, value in _ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        return importing.load(name)


def attribute(name: str) -> Any:
    """Returns one of transformers' classes or functions, whose module is imported on first use."""
    transformers = part("transformers")
    with importing.LOCK:
        return getattr(transformers, name)
