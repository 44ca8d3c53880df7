"""Files for spreadsheets: what begins a formula, and what is undefined."""

import csv
import io
from math import inf, nan

import pytest

from fracture_core.csv_text import csv_bytes, csv_text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_text_begins_a_formula(text: str) -> None:
    [row] = csv.reader(io.StringIO(csv_text(["a"], [[text]]).removeprefix("a\r\n"), newline=""))
    assert row == [f"'{text}"]


def test_numbers_stay_numbers_and_what_is_undefined_is_empty() -> None:
    rows = [[-0.5, 3, nan, None, inf, "", True, "a,b", "–1"]]
    assert csv_text(["h"] * 9, rows).splitlines()[1] == '-0.5,3,,,,,True,"a,b",–1'


def test_a_file_to_take_away_is_read_as_utf_8() -> None:
    assert csv_bytes(["Bruch"], [["≥"]]) == b"\xef\xbb\xbfBruch\r\n\xe2\x89\xa5\r\n"
