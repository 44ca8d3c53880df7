"""Behaves like `python -m trainers train RUN_FOLDER` in milliseconds, without torch.

Counts to config.json's "steps" in checkpoints/last.pt, notes every step in metrics.jsonl, stops
after a checkpoint on SIGTERM and leaves `stopped`; writes card.json last.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from fracture_core.runs import RunFolder


def main() -> int:
    run = RunFolder(path=Path(sys.argv[1]))
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    config = json.loads(run.config.read_text())
    with run.claim():
        if config.get("deaf"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for stray in config.get("strays", ()):
            start_stray(stray)
        if code := config.get("exit"):
            print("data: expected an image, found a potato.", flush=True)
            return code
        run.stopped.unlink(missing_ok=True)
        run.checkpoints.mkdir(exist_ok=True)
        last = run.checkpoints / "last.pt"
        done = int(last.read_text()) if last.is_file() else 0
        print(f"from step {done}", flush=True)
        while done < config["steps"]:
            time.sleep(config.get("seconds", 0.01))
            done += 1
            line = {"kind": "step", "phase": 1, "epoch": 1, "of": 1, "time": time.time()}
            line |= {"step": done, "steps": config["steps"], "loss": 1 / done}
            with run.metrics.open("a") as file:
                file.write(json.dumps(line) + "\n")
            part = last.with_name("last.part")
            part.write_text(str(done))
            part.replace(last)
            if done == config.get("crash_at") and not (run.path / "crashed").exists():
                (run.path / "crashed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if asked:
                run.stopped.touch()
                return 0
        part = run.card.with_suffix(".part")
        part.write_text("{}")
        part.replace(run.card)
    return 0


def start_stray(kind: str) -> None:
    """A child that outlives its parent: in its group, in a session of its own, or nameless."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(300)"]
    if kind == "child":
        subprocess.Popen(sleeper)
    elif kind == "session":
        subprocess.Popen(sleeper, start_new_session=True)
    elif kind == "nameless":
        subprocess.Popen(sleeper, env={})


if __name__ == "__main__":
    sys.exit(main())
