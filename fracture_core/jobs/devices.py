"""What local jobs run on."""

import os
import shutil
import subprocess
from functools import cache

from fracture_core.errors import ConfigError

CPU = "cpu"
DRIVER_SECONDS = 20.0


def list_devices() -> tuple[str, ...]:
    """GPUs as CUDA_VISIBLE_DEVICES names them, or the CPU alone.

    Asked without CUDA: that takes seconds, and memory on every GPU. Raises ConfigError for a driver
    that does not answer.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return _ask_driver() or (CPU,)
    names = tuple(name.strip() for name in named.split(",") if name.strip() not in ("", "-1"))
    return names or (CPU,)


@cache
def _ask_driver() -> tuple[str, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    command = [program, "--query-gpu=index", "--format=csv,noheader"]
    try:
        asked = subprocess.run(  # noqa: S603 - the driver's own program, constant arguments
            command, capture_output=True, text=True, timeout=DRIVER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(
            "nvidia-smi",
            expected="the GPUs of this machine",
            found=f"no answer ({type(error).__name__})",
            advice="Repair the driver, or name the GPUs in CUDA_VISIBLE_DEVICES; empty = the CPU.",
        ) from error
    # A machine with the driver's tools and no GPU.
    if asked.returncode != 0:
        return ()
    return tuple(line.strip() for line in asked.stdout.splitlines() if line.strip())
