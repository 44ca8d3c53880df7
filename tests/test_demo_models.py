"""The demo models: how they begin, what they are trained on, and what they reach."""

import torch

from fracture_core.settings import settings
from tests.trainee_networks import CLASSES, make_batch
from trainers.config import TrainConfig
from trainers.families.faster_rcnn import build as build_faster_rcnn
from trainers.families.resnet import build as build_resnet


def test_a_light_faster_rcnn_begins_from_a_resnet_of_other_classes() -> None:
    config = TrainConfig(
        family="resnet", data="", input_size=64, network={"name": "resnet18", "width": 8}
    )
    trunk = build_resnet(config, ("healthy", "fracture"), "patches")
    trunk.wrap(trunk.network).save(settings().models / "patches")
    light = TrainConfig(
        family="faster_rcnn",
        data="",
        input_size=64,
        start="patches",
        network={"name": "fasterrcnn_light", "pyramid_width": 16},
    )
    trainee = build_faster_rcnn(light, CLASSES, "light")
    own, given = trainee.network.backbone.body.state_dict(), trunk.network.state_dict()
    assert set(given) - set(own) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(own[name], given[name]) for name in own)
    shape = trainee.card.architecture["light"]
    assert isinstance(shape, dict)
    assert (shape["backbone_width"], shape["pyramid_width"]) == (8, 16)
    assert "backbone begins from" in trainee.notes[0]
    assert trainee.train()(make_batch())["loss"].isfinite()
