"""The code blocks of CONTRIBUTING.md."""

import re
from pathlib import Path

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(heading: str, language: str = "python") -> list[str]:
    """The code below a heading of the second level, in order."""
    text = CONTRIBUTING.read_text(encoding="utf-8")
    [section] = [part for part in text.split("\n## ") if part.startswith(f"{heading}\n")]
    return [code for kind, code in _BLOCK.findall(section) if kind == language]
