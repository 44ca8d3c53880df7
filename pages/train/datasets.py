"""What a data set holds, before anything is trained on it."""

import streamlit as st

from fracture_core.ui.read.dataset_choice import choose_dataset
from fracture_core.ui.read.sources import show_warnings
from fracture_core.ui.train.converting import offer_conversion
from fracture_core.ui.train.dataset_facts import show_attributes, show_counts, show_gallery
from fracture_core.ui.train.health import show_health
from fracture_core.ui.train.statistics import show_statistics
from fracture_core.ui.widgets.text import literal

st.header("Data sets", anchor=False)
messages = st.container()
dataset = choose_dataset(messages)
if dataset is None:
    st.info("Name a data set, or make the demo one.", icon=":material/folder_open:")
    st.stop()

st.caption(literal(dataset.found))
show_warnings(dataset.warnings, messages)
show_counts(dataset)
show_attributes(dataset)
names = ("Images", "Statistics", "Health", "Convert")
images, statistics, health, convert = st.tabs(names, on_change="rerun", key="dataset_tab")
with images:
    show_gallery(dataset, st.session_state.path)
with statistics:
    if statistics.open:
        show_statistics(dataset, st.session_state.path)
with health:
    show_health(dataset, st.session_state.path)
with convert:
    offer_conversion(dataset)
