"""A few pictures converted at a time, in any process: the unit of work and of resuming."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from fracture_core.conversion.resizing import Size, fitted, resize_finding, resize_pixels
from fracture_core.conversion.workspace import Workspace
from fracture_core.datasets.findings import keep_usable
from fracture_core.datasets.tally import Tally
from fracture_core.datasets.writers.base import Places, Row, Writer
from fracture_core.datasets.writers.items import Findings, Item, LeftOut, scaled
from fracture_core.errors import BadInput, DatasetError

PICTURES = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunk:
    """Pictures number `number` × 16 and on; everything a process needs for them."""

    number: int
    items: Sequence[Item]
    writer: Writer
    side_px: int | None
    workspace: Workspace

    def run(self) -> int:
        """Write the pictures, then the record of the chunk; returns how many pictures."""
        rows: list[Row] = []
        left_out: list[LeftOut] = []
        tally = Tally()
        for item in self.items:
            try:
                rows.append(_convert(item, self, tally))
            except BadInput as error:
                left_out.append(LeftOut(sample_id=item.sample_id, reason=str(error)))
        record = {
            "rows": rows,
            "left_out": [asdict(each) for each in left_out],
            "doubts": tally.sentences(),
        }
        self.workspace.keep_chunk(self.number, record)
        return len(self.items)


def split_into_chunks(
    items: Sequence[Item], writer: Writer, side_px: int | None, workspace: Workspace
) -> list[Chunk]:
    """All items, in order."""
    return [
        Chunk(
            number=number,
            items=items[start : start + PICTURES],
            writer=writer,
            side_px=side_px,
            workspace=workspace,
        )
        for number, start in enumerate(range(0, len(items), PICTURES))
    ]


def _convert(item: Item, chunk: Chunk, tally: Tally) -> Row:
    sample = item.opener.sample()
    old = (sample.height, sample.width)
    new = fitted(old, chunk.side_px)
    pixels = resize_pixels(chunk.writer.pixels(sample), new)
    findings = _findings(item, old, new, tally)
    places = Places(result=chunk.workspace.result, spare=chunk.workspace.spare)
    # The file's own header tells of the image as well.
    told = replace(item, attributes=sample.attributes)
    return chunk.writer.write(told, pixels, findings, places)


def _findings(item: Item, old: Size, new: Size, tally: Tally) -> Findings | None:
    if item.findings is None:
        return None
    found = item.findings
    if item.in_shares:
        found = tuple(scaled(each, old[1], old[0]) for each in found)
    usable = keep_usable(found, *old, tally)
    if usable is None:
        raise DatasetError(
            item.sample_id,
            expected=f"a box inside its {old[1]} × {old[0]} pixels",
            found="none of its boxes there",
        )
    return tuple(resize_finding(each, old, new) for each in usable)
