"""The most memory that this process has held."""

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """Of this program alone.

    Linux hands the peak of `getrusage` on to a started program, so that a benchmark would be
    charged with what its parent held; the one in /proc begins anew with every program.
    """
    if _STATUS.exists():
        lines = _STATUS.read_text().splitlines()
        return next(int(each.split()[1]) * 1024 for each in lines if each.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
