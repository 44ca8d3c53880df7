"""Site map of the workbench: `streamlit run streamlit_app.py`."""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from fracture_core.ui.protection import Protection, refuse_open_server
from fracture_core.ui.routes import ROUTES
from fracture_core.ui.streamlit_insides import WIDE, HeadInjection, use_the_site_map
from fracture_core.ui.warm_up import warming
from fracture_core.ui.widgets.text import say_in_a_sentence

RESEARCH_USE = "Research use only. Not a medical device. Not for clinical decisions."
ICON = Path(__file__).parent / "fracture_core" / "ui" / "icon.svg"


def site_map() -> dict[str, list[st.Page]]:
    """Every page, by section of the menu."""
    read = st.Page(
        "pages/review/read.py",
        title="Read",
        icon=":material/radiology:",
        default=True,
        help="One case: image, findings, ground truth, and thresholds that act while they move.",
    )
    compare = st.Page(
        "pages/review/compare.py",
        title="Compare",
        icon=":material/compare:",
        help="One case in two to four models side by side: what all find, and what only some.",
    )
    metrics = st.Page(
        "pages/evaluate/metrics.py",
        title="Metrics",
        icon=":material/monitoring:",
        help="A model on a data set: curves, counts and confusion that follow one dial.",
    )
    errors = st.Page(
        "pages/evaluate/errors.py",
        title="Errors",
        icon=":material/rule:",
        help="What a model misses and what it shows in vain, the costliest first.",
    )
    library = st.Page(
        "pages/models/library.py",
        title="Library",
        icon=":material/inventory_2:",
        help="Model cards: what is known of each model; add, rename, delete, measure.",
    )
    datasets = st.Page(
        "pages/train/datasets.py",
        title="Data sets",
        icon=":material/folder_open:",
        help="What a data set holds: counts, images with their ground truth; write it anew.",
    )
    launch = st.Page(
        "pages/train/launch.py",
        title="Train",
        icon=":material/play_arrow:",
        help="From a recipe and a data set to a training in the background.",
    )
    jobs = st.Page(
        "pages/train/jobs.py",
        title="Jobs",
        icon=":material/model_training:",
        help="Trainings: queue, curves, logs; stop, resume, add to the library.",
    )
    return {
        "Review": [read, compare],
        "Evaluate": [metrics, errors],
        "Train": [datasets, launch, jobs],
        "Models": [library],
    }


def serve_page() -> None:
    """One run of the page the reader is on."""
    st.set_page_config(page_title="Fracture workbench", page_icon=str(ICON), layout="wide")
    page = st.navigation(site_map())
    st.logo(str(ICON), size="large")
    st.html(WIDE)
    st.caption(f":material/science: **{RESEARCH_USE}**")
    page.run()


if st.runtime.exists():
    serve_page()
else:
    refuse_open_server()
    use_the_site_map()
    # `streamlit run` finds this name in the source and serves it.
    middleware = [Middleware(Protection), Middleware(HeadInjection)]
    app = st.App(
        __file__,
        routes=ROUTES,
        middleware=middleware,
        lifespan=warming,
        on_script_error=say_in_a_sentence,
    )
