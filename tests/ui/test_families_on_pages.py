"""Every family can be picked on Read and on Compare, and behaves on the demo case."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fracture_core.models.cards import ModelCard
from fracture_core.models.consensus_making import Voice, add_consensus
from fracture_core.models.families import installed
from fracture_core.models.library import add_named

APP = Path(__file__).parents[2] / "streamlit_app.py"
SMALL = {
    "consensus": "scratch:tiny yolov8n.yaml",
    "efficientnet_gate": "efficientnet_b0",
    "faster_rcnn": "fasterrcnn_mobilenet_v3_large_320_fpn",
    "hf_detr": "detr:tiny",
    "resnet": "resnet18",
    "retinanet": "retinanet_light",
    "scratch_detr": "scratch:tiny",
    "yolo": "yolov8n-seg.yaml",
}


def test_no_family_is_left_out() -> None:
    assert set(SMALL) | {"fake"} == set(installed().families)


def added(family: str) -> ModelCard:
    """A model of the family; a consensus has a name for each member."""
    cards = [add_named(name) for name in SMALL[family].split()]
    if family != "consensus":
        return cards[0]
    return add_consensus([Voice(model_id=card.model_id) for card in cards])


@pytest.mark.parametrize("family", SMALL)
def test_a_family_reads_and_is_compared(family: str) -> None:
    card = added(family)
    assert card.family == family
    app = AppTest.from_file(str(APP), default_timeout=120)
    app.run()
    app.selectbox(key="model").set_value(card.model_id).run()
    assert not app.exception
    assert not app.error
    app.switch_page("pages/review/compare.py").run()
    assert not app.exception
    assert not app.error
    if family == "consensus":
        # The page begins with its two members.
        assert len(app.multiselect[0].value) == 2
        assert card.model_id not in app.multiselect[0].value
        app.multiselect[0].set_value([card.model_id, "fake"]).run()
        assert not app.exception
        assert not app.error
    assert set(app.multiselect[0].value) == {card.model_id, "fake"}
