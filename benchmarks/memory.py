"""Peak memory of a process."""

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """Return the most memory in bytes that this process has held.

    On Linux a started program inherits the peak of `getrusage` from its parent; the peak in
    /proc/self/status begins anew with every program, and is used where it exists.
    """
    if _STATUS.exists():
        lines = _STATUS.read_text().splitlines()
        return next(int(each.split()[1]) * 1024 for each in lines if each.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
