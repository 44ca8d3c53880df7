"""Imports on first use, made by one thread at a time.

Python locks each module by itself. Where a package's modules import each other, as those of
torchvision, transformers and Ultralytics do, two threads that enter it from two sides wait for each
other, and Python lets one of them go on with a half-made module. The sessions of a server do that
in its first seconds. So every import inside a function is made under `LOCK`:

    with importing.LOCK:
        from captum.attr import LayerGradCam
"""

import importlib
import threading
from types import ModuleType

LOCK = threading.RLock()
"""Held while a module is imported; the thread that holds it may take it again."""


def load(name: str) -> ModuleType:
    """Import a module by its full name, such as "scipy.ndimage"; raises ImportError."""
    with LOCK:
        return importlib.import_module(name)
