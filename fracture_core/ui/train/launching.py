"""A training prepared on the page: looked at before, then handed to the queue."""

import json
import subprocess
import sys
from collections.abc import Sequence

import streamlit as st

from fracture_core import importing
from fracture_core.errors import ConfigError, WorkbenchError
from fracture_core.models.library import list_cards
from fracture_core.settings import settings
from fracture_core.ui.protection import check_start
from fracture_core.ui.train.fields import Changes
from fracture_core.ui.train.job_view import duration
from fracture_core.ui.widgets.choices import just_done, remember_done
from fracture_core.ui.widgets.class_table import choose_is_a
from fracture_core.ui.widgets.text import literal
from trainers.config import TrainConfig
from trainers.recipes import RECIPES, Recipe, find_recipe

_ICONS = {
    "ok": ":material/check_circle:",
    "warning": ":material/warning:",
    "error": ":material/error:",
}
_PATIENCE_SECONDS = 600
_LAUNCHED = "launched"
_MADE = "run_made"
Asked = tuple[str, str, str]


def choose_recipe() -> Recipe:
    """One of the known ways to train, with what it is."""
    name = st.selectbox(
        "Recipe",
        list(RECIPES),
        key="recipe",
        persist_state="session",
    )
    recipe = find_recipe(name)
    st.caption(literal(f"{recipe.summary}."))
    if recipe.mended:
        with st.expander("What was mended"):
            st.markdown(literal(recipe.mended))
    if not recipe.variants:
        return recipe
    tried = st.multiselect(
        "Also tried",
        list(recipe.variants),
        key=f"{name}-variants",
        placeholder="none of it",
        help="Further settings that the published system tried.",
    )
    return recipe.varied(tuple(tried))


def try_config(recipe: Recipe, data: str, changes: Changes) -> TrainConfig | None:
    """The config, or a sentence on the page about what is wrong with it."""
    try:
        config = recipe.config(data, changes)
        check_start(config.start)
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return None
    return config


def classes_of_start(config: TrainConfig, classes: Sequence[str]) -> Changes:
    """What was confirmed of the classes of the model that the network begins from, if it is one of
    the library and the reader merges none otherwise.
    """
    card = next((each for each in list_cards() if each.model_id == config.start), None)
    if card is None or config.is_a or config.merge_classes:
        return {}
    is_a = choose_is_a(card.classes, classes)
    return {"is_a": is_a} if is_a else {}


def look_before(recipe: Recipe, data: str, changes: Changes) -> bool:
    """Offer the pre-flight; whether the training may start, with exactly these settings."""
    asked = _asked(recipe, data, changes)
    if st.button("Check before the start", icon=":material/checklist:"):
        with st.spinner("Looking at the data and measuring a few steps…"):
            st.session_state.preflight = (asked, _preflight(recipe, data, changes))
    held_for, found = st.session_state.get("preflight", (None, None))
    if held_for != asked:
        st.caption("The check looks at data, disk and memory, and measures a few steps.")
        return False
    return _show(found)


def _asked(recipe: Recipe, data: str, changes: Changes) -> Asked:
    return recipe.name, data, json.dumps(changes, sort_keys=True)


def _preflight(recipe: Recipe, data: str, changes: Changes) -> dict[str, object]:
    """In a process of its own: what a step needs must not stay in the app's memory."""
    words = [sys.executable, "-m", "trainers", "check", "--recipe", recipe.name, "--data", data]
    for name, value in changes.items():
        words += ["--set", f"{name}={json.dumps(value)}"]
    try:
        done = subprocess.run(  # noqa: S603
            [*words, "--json"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        found: dict[str, object] = json.loads(done.stdout.strip().split("\n")[-1])
    except subprocess.TimeoutExpired:
        text = f"Three steps took more than {_PATIENCE_SECONDS // 60} minutes: too slow to train."
        return {"findings": [{"level": "error", "text": text}]}
    except json.JSONDecodeError:
        last = (done.stderr.strip() or "it ended without a word").split("\n")[-1]
        return {"findings": [{"level": "error", "text": f"The check failed: {last}"}]}
    return found


def _show(found: dict[str, object]) -> bool:
    findings = found["findings"]
    if not isinstance(findings, list):
        raise TypeError(f"expected a list of findings, found {type(findings).__name__}")
    for finding in findings:
        st.markdown(f"{_ICONS[finding['level']]} {literal(finding['text'])}")
    if any(finding["level"] == "error" for finding in findings):
        return False
    parameters, step, seconds, memory = (
        float(str(found[name]))
        for name in ("parameters", "step_seconds", "seconds", "memory_bytes")
    )
    facts = [*st.columns(2), *st.columns(2)]
    facts[0].metric("Parameters", f"{parameters / 1e6:.1f} M")
    facts[1].metric("A step", f"{step:.2f} s", help=f"On {found['device']}, without the data.")
    facts[2].metric("All epochs, about", duration(seconds))
    facts[3].metric("Memory at the peak", f"{memory / 1e9:.1f} GB")
    return True


def launch(recipe: Recipe, data: str, changes: Changes, *, may_start: bool) -> None:
    """Name the run and start it; goes to the page of jobs."""
    name = st.text_input("Name of the run", _free_name(recipe.name), key=f"{recipe.name}-run")
    # No callback: it would be given what the fields held before the click, and a field that is
    # left by the click has changed since.
    clicked = st.button(
        "Start training",
        type="primary",
        disabled=not may_start,
        icon=":material/play_arrow:",
    )
    if not clicked or not may_start:
        return
    asked = _asked(recipe, data, changes)
    if not just_done(_LAUNCHED, asked):
        try:
            _launch(recipe, data, changes, name)
        except WorkbenchError as error:
            st.error(literal(str(error)), icon=":material/error:")
            return
        remember_done(_LAUNCHED, asked)
    st.switch_page("pages/train/jobs.py")


def take_from_address() -> None:
    """A link may name the data set and the recipe.

    They are not bound to the address, from which Streamlit could not lead to the page of jobs.
    """
    for name in ("path", "recipe"):
        given = st.query_params.get(name)
        if given and name not in st.session_state and (name == "path" or given in RECIPES):
            st.session_state[name] = given


def _launch(recipe: Recipe, data: str, changes: Changes, name: str) -> None:
    with importing.LOCK:
        from fracture_core.jobs import submit
        from trainers.running import make_run

    folder = settings().runs / name
    if folder.name != name:
        raise ConfigError("Name of the run", expected="a name, not a path", found=repr(name))
    made = (name, _asked(recipe, data, changes))
    # Where the queue refused it, another try finds the run made before.
    if st.session_state.get(_MADE) != made:
        make_run(folder, recipe.name, data, changes)
        st.session_state[_MADE] = made
    submit(folder)
    st.session_state.pop(_MADE)
    st.session_state.run = name


def _free_name(recipe: str) -> str:
    # A model of the library is named after its run, and there a "+" has another meaning.
    recipe = recipe.replace("+", "-")
    taken = {path.name for path in settings().runs.glob("*")}
    number = next(n for n in range(1, len(taken) + 2) if f"{recipe}-{n}" not in taken)
    return f"{recipe}-{number}"
