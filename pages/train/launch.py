"""From a recipe and a data set to a training in the queue."""

import streamlit as st

from fracture_core.ui.read.dataset_choice import choose_dataset
from fracture_core.ui.train.launching import (
    choose_recipe,
    classes_of_start,
    launch,
    look_before,
    take_from_address,
    try_config,
)
from fracture_core.ui.train.settings import choose_settings
from fracture_core.ui.widgets.text import literal

take_from_address()
st.header("Train a model", anchor=False)
messages = st.container()
what, how = st.columns([2, 3], gap="large")
with what:
    dataset = choose_dataset(messages, bound=False)
    if dataset is not None:
        st.caption(literal(dataset.found))
    recipe = choose_recipe()
with how:
    changes = choose_settings(recipe.config("", {}))
if dataset is None:
    st.info("Name a data set, or make the demo one.", icon=":material/folder_open:")
    st.stop()

data = str(dataset.path.absolute())
with what:
    config = try_config(recipe, data, changes)
    if config is None:
        st.stop()
    changes |= classes_of_start(config, dataset.classes)
    ready = look_before(recipe, data, changes)
    launch(recipe, data, changes, may_start=ready)
