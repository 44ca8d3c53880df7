"""The dial as a Streamlit component: what follows it while it moves happens in the browser.

The table of counts travels once, by URL; the browser reports on release, and which cell of a
confusion matrix was clicked.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import streamlit as st

from fracture_core.errors import ConfigError
from fracture_core.evaluations.threshold_sweep import DialTable, Sheet, UnitCounts
from fracture_core.metrics.calibration import Reliability
from fracture_core.ui.routes import Json, module_path, plotly_path
from fracture_core.ui.widgets.component import Handshake, component, nothing

DialUnit = Literal["sensitivity", "fp", "specificity", "confidence"]
UNITS: tuple[DialUnit, ...] = ("sensitivity", "fp", "specificity", "confidence")
_FOLDER = Path(__file__).parent / "dial"

# Without a shadow root: Plotly puts its styles into the document.
_MOUNT = component("dial", _FOLDER / "dial.css", isolate_styles=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DialState:
    """Where the dial is, and the unit it is read in."""

    confidence: float = 0.5
    unit: DialUnit = "sensitivity"

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            found = repr(self.confidence)
            raise ConfigError("confidence", expected="a number from 0 to 1", found=found)
        if self.unit not in UNITS:
            raise ConfigError("unit", expected=" or ".join(UNITS), found=repr(self.unit))

    def to_query(self) -> dict[str, str]:
        """As names and values of a URL's query."""
        return {"confidence": f"{self.confidence:.9g}", "unit": self.unit}

    @classmethod
    def from_query(cls, query: Mapping[str, str], default: Self) -> Self:
        """`default` with what the query says; ConfigError where a value makes no sense."""
        found: dict[str, Any] = {"unit": query["unit"]} if "unit" in query else {}
        if "confidence" in query:
            found["confidence"] = _number(query["confidence"])
        return replace(default, **found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An operating point on the dial."""

    name: str
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A clicked cell of the confusion matrix called `sheet`, at a confidence."""

    sheet: str
    row: int
    column: int
    confidence: float


def dial(
    table: DialTable,
    path: str,
    state: DialState,
    *,
    key: str,
    name: str,
    marks: Sequence[Mark] = (),
    on_cell: Callable[[Cell], None] | None = None,
) -> DialState:
    """Show the dial and return the state in force; `name` begins the names of saved files, `path`
    is where the browser finds the table, as `share_table` of it `packed` tells.

    A `state` other than the one given in the run before takes effect in the browser; the same one
    leaves the reader's own alone. `on_cell` runs before the script, as Streamlit's callbacks do.
    """
    handshake = Handshake(key, state, lambda value: _reported(value, state))
    data = {
        "module": module_path("dial", "dial.js"),
        "plotly": plotly_path(),
        "table": path,
        "name": name,
        "forced": handshake.force(),
        "points": [asdict(mark) for mark in marks],
    }

    def clicked() -> None:
        asked = st.session_state[key]["cell"]
        if on_cell is not None and asked:
            on_cell(_checked(asked, table.sheets))

    result = _MOUNT(
        key=key,
        # In a list, because Streamlit imports pandas to look for tables in a mapping.
        data=[data],
        on_state_change=nothing,
        on_cell_change=clicked,
    )
    return handshake.take(result)


def packed(table: DialTable, study_rule: str) -> Json:
    """The table as the browser reads it."""
    return {
        "confidences": _base64(table.confidences, "<f8"),
        "study_rule": study_rule,
        "tallies": [_pack_counts(each) for each in table.tallies],
        "by_class": [_pack_counts(each) for each in table.by_class],
        "sheets": [_pack_sheet(each) for each in table.sheets],
        "reliability": _pack_reliability(table.reliability) if table.reliability else None,
    }


def _pack_counts(counts: UnitCounts) -> Json:
    return {
        "unit": counts.unit,
        "name": counts.name,
        "hits": _base64(counts.true_positives, "<i4"),
        "wrong": _base64(counts.false_positives, "<i4"),
        "positives": counts.positives,
        "negatives": counts.negatives,
        "images": counts.images,
    }


def _pack_sheet(sheet: Sheet) -> Json:
    return {
        "name": sheet.name,
        "rows": list(sheet.rows),
        "columns": list(sheet.columns),
        "cells": _base64(sheet.cells, "<i4"),
        "counts": _base64(sheet.counts, "<i4"),
        "fixed": sheet.name == "classes",
    }


def _pack_reliability(found: Reliability) -> Json:
    bins = [
        {
            "low": float(found.edges[n]),
            "high": float(found.edges[n + 1]),
            "mean": float(found.mean_score[n]),
            "right": int(found.right[n]),
            "total": int(found.totals[n]),
        }
        for n in np.flatnonzero(found.totals)
    ]
    return {"bins": bins, "ece": float(found.ece)}


def _base64(array: npt.NDArray[Any], dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode("ascii")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise ConfigError("?confidence=", expected="a number", found=repr(text)) from error
    if not isfinite(value):
        raise ConfigError("?confidence=", expected="a number", found=repr(text))
    return value


def _checked(asked: Mapping[str, Any], sheets: Sequence[Sheet]) -> Cell:
    """What the browser asked for; ValueError where there is no such cell."""
    cell = Cell(
        sheet=str(asked["sheet"]),
        row=int(asked["row"]),
        column=int(asked["column"]),
        confidence=float(asked["confidence"]),
    )
    sheet = next((each for each in sheets if each.name == cell.sheet), None)
    if sheet is None:
        raise ValueError(f"cell: no sheet called {cell.sheet!r}")
    if not (0 <= cell.row < len(sheet.rows) and 0 <= cell.column < len(sheet.columns)):
        raise ValueError(f"cell: no cell {cell.row}, {cell.column} of {cell.sheet}")
    return cell


def _reported(value: object, state: DialState) -> DialState:
    if not isinstance(value, dict):
        return state
    return DialState(confidence=float(value["confidence"]), unit=value["unit"])
