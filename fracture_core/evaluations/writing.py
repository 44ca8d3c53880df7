"""Text files that are whole or not there."""

from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """By rename."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
