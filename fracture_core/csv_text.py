"""CSV that spreadsheets read: no cell is a formula, and undefined numbers are empty cells.

Names of files, classes and patients come from elsewhere, and a cell that begins with "=" is
computed by whoever opens the file: https://owasp.org/www-community/attacks/CSV_Injection.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from math import isfinite

_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a line of headings and then one line for each row; numbers are written in full.

    Example:
        >>> csv_text(["name", "value"], [["=1+1", 0.5], ["b", float("nan")]])
        "name,value\\r\\n'=1+1,0.5\\r\\nb,\\r\\n"
    """
    stream = io.StringIO()
    # With "\n" alone as the end of a line, Python would not quote a "\r" inside of a cell.
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(headings)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return stream.getvalue()


def csv_bytes(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Return the CSV as UTF-8 with a byte order mark, by which spreadsheets know the encoding."""
    return csv_text(headings, rows).encode("utf-8-sig")


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_BEGINS_A_FORMULA):
        return f"'{value}"
    is_undefined = value is None or (isinstance(value, float) and not isfinite(value))
    return "" if is_undefined else value
