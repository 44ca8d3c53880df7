"""The set loss as a config asks for it."""

from fracture_core.nets.criterion import SetCriterion, SetLoss
from fracture_core.nets.hungarian import HungarianMatcher
from trainers.config import TrainConfig
from trainers.trainee import Losses


def build_criterion(config: TrainConfig, class_count: int) -> SetCriterion:
    """The weights of the loss are those of the assignment's costs, too, as in DETR."""
    matcher = HungarianMatcher(
        class_cost=config.class_weight, l1_cost=config.l1_weight, giou_cost=config.giou_weight
    )
    return SetCriterion(
        class_count=class_count,
        matcher=matcher,
        no_object_weight=config.no_object_weight,
        class_weight=config.class_weight,
        l1_weight=config.l1_weight,
        giou_weight=config.giou_weight,
    )


def set_losses(loss: SetLoss) -> Losses:
    """The weighted total of all layers, and the last layer's parts unweighted."""
    return {
        "loss": loss.total,
        "class": loss.of_class[-1].detach(),
        "l1": loss.l1[-1].detach(),
        "giou": loss.giou[-1].detach(),
    }
