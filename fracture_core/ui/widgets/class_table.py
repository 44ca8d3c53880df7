"""Which classes of a model and of a ground truth mean the same: shown, confirmed and kept."""

from collections.abc import Iterator, Sequence

import streamlit as st

from fracture_core import class_names
from fracture_core.class_names import NOTHING, IsA, bring_together
from fracture_core.errors import ConfigError
from fracture_core.ui.widgets.text import literal

_MOST_ROWS = 40
_MOST_TOLD = 3
_OWN = "a class of its own"
_NO_FINDING = "no finding"


def choose_is_a(
    model: Sequence[str], ground_truth: Sequence[str], *, title: str = ""
) -> dict[str, str]:
    """What a reader confirmed of the two lists, nothing until then, with the means to do so.

    Nothing is shown where every name of the one is a name of the other. `title` names the model
    where there are several.
    """
    try:
        kept = class_names.kept(model, ground_truth)
    except ConfigError as error:
        st.warning(literal(str(error)), icon=":material/rule:")
        return {}
    if model and ground_truth and any(True for _ in _apart(model, ground_truth)):
        _show(model, ground_truth, kept, title)
    return kept or {}


def _show(
    model: Sequence[str], ground_truth: Sequence[str], kept: dict[str, str] | None, title: str
) -> None:
    proposed = class_names.propose(model, ground_truth)
    met = bring_together(model, ground_truth, is_a=kept)
    if kept is None and not proposed and met.share:
        return
    told = _told(kept, proposed, share=met.share)
    st.caption(literal(f"{title}: {told}" if title else told))
    label = f"Classes of {title}" if title else "Classes that mean the same"
    with st.popover(literal(label), icon=":material/join_inner:", width="stretch"):
        _form(model, ground_truth, proposed if kept is None else kept)
        key = f"forget:{hash((tuple(model), tuple(ground_truth)))}"
        if kept is not None and st.button(
            "Forget", icon=":material/undo:", width="stretch", key=key
        ):
            class_names.forget(model, ground_truth)
            st.rerun()


def _told(kept: dict[str, str] | None, proposed: IsA, *, share: bool) -> str:
    if kept:
        some = [f"{name} → {parent or _NO_FINDING}" for name, parent in kept.items()]
        more = f" and {len(some) - _MOST_TOLD} more" if len(some) > _MOST_TOLD else ""
        return f"Counted as: {', '.join(some[:_MOST_TOLD])}{more}."
    state = "" if share else "No class name in common: classes are not compared. "
    if kept is not None:
        return f"{state}No class counts as another."
    many = f"{len(proposed)} may mean the same: confirm them here." if proposed else ""
    return f"{state}{many}".strip()


def _form(model: Sequence[str], ground_truth: Sequence[str], is_a: IsA) -> None:
    """A row for each name that the other list has not, and a button that keeps what is chosen."""
    rows = list(_apart(model, ground_truth))
    key = f"is_a:{hash((tuple(model), tuple(ground_truth)))}"
    with st.form(key, border=False):
        st.caption("A class that counts as another is matched and counted as that one.")
        chosen = {
            name: st.selectbox(
                literal(name),
                [_OWN, _NO_FINDING, *others],
                _place(is_a.get(name), others),
                key=f"{key}:{name}",
            )
            for name, others in rows[:_MOST_ROWS]
        }
        if not st.form_submit_button("Keep", type="primary", width="stretch"):
            return
    table = {
        name: NOTHING if parent == _NO_FINDING else parent
        for name, parent in chosen.items()
        if parent != _OWN
    }
    try:
        class_names.keep(model, ground_truth, table)
    except ConfigError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    st.rerun()


def _place(parent: str | None, others: Sequence[str]) -> int:
    if parent is None:
        return 0
    return 2 + list(others).index(parent) if parent in others else int(parent == NOTHING)


def _apart(
    model: Sequence[str], ground_truth: Sequence[str]
) -> Iterator[tuple[str, Sequence[str]]]:
    """Names that the other list has not, the ground truth's first, each with the other list."""
    for names, others in ((ground_truth, model), (model, ground_truth)):
        known = bring_together(others)
        for name in names:
            if len(bring_together(known.names, [name]).names) > len(known.names):
                yield name, others
