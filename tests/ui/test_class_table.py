"""The table of classes that mean the same, on a page."""

from streamlit.testing.v1 import AppTest

from fracture_core.class_names import NOTHING, kept

MODEL, GROUND_TRUTH = ("fracture",), ("wrist positive", "metal", "Healthy")


def page() -> None:
    """In one piece, for AppTest."""
    import streamlit as st

    from fracture_core.ui.widgets.class_table import choose_is_a

    st.json(choose_is_a(("fracture",), ("wrist positive", "metal", "Healthy")))


def button(app: AppTest, label: str):
    return next(each for each in app.button if each.label == label)


def test_what_is_proposed_counts_only_once_it_is_confirmed() -> None:
    app = AppTest.from_function(page, default_timeout=60).run()
    assert not app.exception
    assert app.json[0].value == "{}"
    assert "2 may mean the same" in app.caption[0].value
    rows = {each.label: each.value for each in app.selectbox}
    assert rows == {
        "wrist positive": "fracture",
        "metal": "a class of its own",
        "Healthy": "no finding",
        "fracture": "a class of its own",
    }
    button(app, "Keep").click().run()
    assert not app.exception
    wanted = {"wrist positive": "fracture", "Healthy": NOTHING}
    assert kept(MODEL, GROUND_TRUTH) == wanted
    assert app.caption[0].value.startswith("Counted as\\: wrist positive → fracture")
    button(app, "Forget").click().run()
    assert kept(MODEL, GROUND_TRUTH) is None


def test_a_reader_may_say_otherwise_and_a_circle_is_refused() -> None:
    app = AppTest.from_function(page, default_timeout=60).run()
    app.selectbox[0].set_value("a class of its own")
    app.selectbox[2].set_value("a class of its own")
    button(app, "Keep").click().run()
    assert kept(MODEL, GROUND_TRUTH) == {}
    assert "No class counts as another" in app.caption[0].value
    app.selectbox[0].set_value("fracture")
    app.selectbox[3].set_value("wrist positive")
    button(app, "Keep").click().run()
    assert "expected no circle" in app.error[0].value
    assert kept(MODEL, GROUND_TRUTH) == {}
