"""Words from outside, made safe for Markdown: file names and class names are hostile."""

import re


def literal(text: str) -> str:
    """The text as Markdown that shows exactly the text, on one line."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))
