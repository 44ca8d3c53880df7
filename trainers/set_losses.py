"""The set loss as a config asks for it."""

from fracture_core.nets.set_loss import HungarianMatcher, SetCriterion, SetLoss
from trainers.family_configs import SetLossWeights
from trainers.trainee import Losses


def build_criterion(weights: SetLossWeights, class_count: int) -> SetCriterion:
    """The weights of the loss are those of the assignment's costs, too, as in DETR."""
    matcher = HungarianMatcher(
        class_cost=weights.class_weight, l1_cost=weights.l1_weight, giou_cost=weights.giou_weight
    )
    return SetCriterion(
        class_count=class_count,
        matcher=matcher,
        no_object_weight=weights.no_object_weight,
        class_weight=weights.class_weight,
        l1_weight=weights.l1_weight,
        giou_weight=weights.giou_weight,
    )


def set_losses(loss: SetLoss) -> Losses:
    """The weighted total of all layers, and the last layer's parts unweighted."""
    return {
        "loss": loss.total,
        "class": loss.of_class[-1].detach(),
        "l1": loss.l1[-1].detach(),
        "giou": loss.giou[-1].detach(),
    }
