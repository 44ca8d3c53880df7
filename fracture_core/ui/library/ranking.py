"""The library's models side by side: what each reached on the same images of the same data set."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from fracture_core.errors import ConfigError
from fracture_core.evaluations import Listed, list_evaluations
from fracture_core.evaluations.evaluation import About
from fracture_core.evaluations.report import MetricValue, interval_text
from fracture_core.matching import MatchConfig
from fracture_core.ui.widgets.headlines import headline_of
from fracture_core.ui.widgets.tables import show_table
from fracture_core.ui.widgets.text import literal


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedSet:
    """What models must have predicted to be held against each other."""

    data: str
    stamp: str
    split: str
    one_class: bool
    images: int

    @property
    def title(self) -> str:
        """How the page calls it."""
        counted = " · one class" if self.one_class else ""
        return f"{self.data} · {self.split} · {self.images:,} images{counted}"


def by_set(listed: Sequence[Listed]) -> Mapping[EvaluatedSet, Sequence[Listed]]:
    """Return complete evaluations by what was predicted, the sets of most models first.

    Of several evaluations of the same weights on the same images the first counts.
    """
    found: dict[EvaluatedSet, dict[tuple[str, str], Listed]] = defaultdict(dict)
    for each in listed:
        if each.complete and not each.problem and each.about is not None:
            about = each.about
            model = (about.model_id, about.weights_sha256)
            found[_set_of(about, each.images)].setdefault(model, each)
    order = sorted(found, key=lambda key: -len(found[key]))
    return {key: tuple(found[key].values()) for key in order}


def _set_of(about: About, images: int) -> EvaluatedSet:
    return EvaluatedSet(
        data=about.data_name,
        stamp=about.data_stamp,
        split=about.split,
        one_class=about.one_class,
        images=images,
    )


def show_ranking() -> None:
    """A table of models by metric, measured when it is opened."""
    with st.expander(
        "Models by their metrics", icon=":material/leaderboard:", key="ranking", on_change="rerun"
    ) as holder:
        if not holder.open:
            return
        found = by_set(list_evaluations())
        titles = Counter(key.title for key in found)
        # Of one data set in two states, each is told by its stamp.
        sets = {
            key.title if titles[key.title] == 1 else f"{key.title} · {key.stamp[:8]}": listed
            for key, listed in found.items()
        }
        if not sets:
            st.caption("No evaluation is complete yet. The page Metrics makes them.")
            return
        chosen = st.selectbox("Data set and split", list(sets), key="ranking-set")
        rows = [row for each in sets[chosen] if (row := _row(each))]
        rows.sort(key=_best_first, reverse=True)
        formats = dict.fromkeys((name for row in rows for name in row if name in _NUMBERS), "%.3f")
        show_table(rows, formats | {"ms": "%.0f"}, height="content")
        st.caption(
            "The same images for all. Matching IoU and NMS IoU are those that Metrics opens with; "
            "in brackets the 95 % interval by patient. Compare tests whether two models differ."
        )


_NUMBERS = ("AP50", "AP", "ROC AUC", "balanced accuracy")


def _row(listed: Listed) -> dict[str, object] | None:
    try:
        metrics, milliseconds = headline_of(listed, MatchConfig())
    except ConfigError as error:
        st.warning(literal(str(error)), icon=":material/broken_image:")
        return None
    assert listed.about is not None  # noqa: S101 - `by_set` leaves such out
    row: dict[str, object] = {"Model": listed.about.title, "Id": listed.about.model_id}
    for metric in metrics:
        row |= {metric.name: metric.value, f"{metric.name} 95 %": _interval(metric)}
    return {**row, "ms": milliseconds}


def _interval(metric: MetricValue) -> str:
    return interval_text(metric.low, metric.high, 3)


def _best_first(row: Mapping[str, object]) -> tuple[float, float]:
    """By AP50, classifiers behind detectors by their AUC."""

    def value(name: str) -> float:
        found = row.get(name)
        return found if isinstance(found, float) and not math.isnan(found) else -1.0

    return value("AP50"), value("ROC AUC")
