"""`python -m fracture_core convert`: a conversion with its sentences and its bar."""

import os
import sys
from pathlib import Path

from tqdm import tqdm

from fracture_core.conversion.converter import convert
from fracture_core.conversion.options import Options

_SHOWN = 10


def run(source: Path, destination: Path, options: Options, *, workers: int) -> int:
    """Convert and say what was done; 1 where a picture had to be left out, 130 if interrupted."""
    with tqdm(total=0, unit="image", disable=None, file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            made = convert(
                source,
                destination,
                options,
                workers=workers or os.cpu_count() or 1,
                tell=lambda sentence: bar.write(sentence, file=sys.stderr),
                progress=show,
            )
        except KeyboardInterrupt:
            bar.write("Interrupted; run the same command again to continue.", file=sys.stderr)
            return 130
    for each in made.left_out[:_SHOWN]:
        print(each.reason, file=sys.stderr)
    if len(made.left_out) > _SHOWN:
        print(f"… and {len(made.left_out) - _SHOWN:,} more.", file=sys.stderr)
    print(f"{made.destination}: {made.pictures:,} images; {made.card.name} says what was done.")
    if made.left_out:
        print(f"{len(made.left_out):,} left out, listed there.")
    return int(bool(made.left_out))
