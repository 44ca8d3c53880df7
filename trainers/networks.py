"""The parameters of each family's network that a training can set, by the names on model cards.

The docstring of each is its help text on the page of trainings.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fracture_core.errors import ConfigError

T = TypeVar("T")
Scalar = bool | int | float | str
Share = Annotated[float, Field(ge=0, le=1)]
Mobile = Literal["efficientnet_lite0", "mobilenet_v2"]
Standard = Literal["imagenet", "half"]
ResNetName = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
EfficientNetName = Literal[
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_s",
]
FasterRcnnName = Literal[
    "fasterrcnn_light",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
]
RetinaNetName = Literal[
    "retinanet_light",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
]


class Network(BaseModel):
    """The parameters of an architecture.

    None stands for the value of the model that the training starts from or, without one, for the
    field's usual value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def given(self) -> dict[str, Scalar]:
        """Return the parameters that were asked for, by name.

        Example:
            >>> ResNetNetwork(width=32).given()
            {'width': 32}
        """
        return self.model_dump(exclude_none=True)

    @classmethod
    def usual(cls, name: str) -> Any:
        """Return a parameter's value where neither config nor start tells it; None = it depends.

        Example:
            >>> ResNetNetwork.usual("name")
            'resnet50'
        """
        extra = cls.model_fields[name].json_schema_extra
        return extra["usual"] if isinstance(extra, dict) else None


def _parameter(
    *,
    usual: Scalar | None = None,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    """A field that may be left to the start, which is what None stands for."""
    return Field(default=None, json_schema_extra={"usual": usual}, ge=ge, gt=gt, le=le, lt=lt)


class ResNetNetwork(Network):
    """The parameters of a `fracture_core.nets.resnet` or a small network of `nets.mobile`."""

    name: ResNetName | Mobile | None = _parameter(usual="resnet50")
    """Which network."""
    width: int | None = _parameter(usual=64, ge=1, le=1024)
    """Channels of the first stage; small networks have one width."""
    standardise: Standard | None = _parameter(usual="imagenet")
    """Mean and deviation that grey values are standardised by: ImageNet's, or 0.5 and 0.5."""


class EfficientNetGateNetwork(Network):
    """The parameters of a `fracture_core.nets.efficientnet_gate`."""

    name: EfficientNetName | Mobile | None = _parameter(usual="efficientnet_b4")
    """Which network looks at the image before the gate."""
    reduction: int | None = _parameter(usual=8, ge=1, le=65_536)
    """The gate's channels are the features' divided by this."""
    hidden_width: int | None = _parameter(usual=512, ge=1, le=65_536)
    """Channels of the layer before the classes."""
    dropout: float | None = _parameter(usual=0.5, ge=0, lt=1)
    """Share of the hidden layer's values that are dropped at random."""
    stochastic_depth: float | None = _parameter(usual=0.2, ge=0, lt=1)
    """Share of blocks that are skipped at random, in the last stage."""


class FasterRcnnNetwork(Network):
    """The parameters of a Faster R-CNN; the last six shape the light one, which is ours."""

    name: FasterRcnnName | None = _parameter(usual="fasterrcnn_resnet50_fpn")
    """Which network."""
    max_size: int | None = _parameter(ge=32, le=8192)
    """The most that an image's longer side may become, in pixels; in proportion to the input size
    unless given."""
    norm_eps: float | None = _parameter(usual=1e-5, ge=0, le=1)
    """Added to the variance in the backbone's batch norms."""
    backbone: ResNetName | Mobile | None = _parameter(usual="resnet18")
    """The light network's backbone."""
    backbone_width: int | None = _parameter(usual=32, ge=1, le=128)
    """Channels of the first stage of a light network's ResNet."""
    pyramid_width: int | None = _parameter(usual=64, ge=1, le=512)
    """Channels of every level of the light network's pyramid."""
    head_width: int | None = _parameter(usual=256, ge=1, le=2048)
    """Channels of the two layers of the light network's second stage."""
    levels: int | None = _parameter(usual=4, ge=1, le=4)
    """Levels of the light network's pyramid, the last of stride 32."""
    anchor_px: int | None = _parameter(usual=16, ge=1, le=1024)
    """Side of the finest level's anchors in pixels, doubled from level to level."""


class RetinaNetNetwork(Network):
    """The parameters of a RetinaNet; the last five shape the light one, which is ours."""

    name: RetinaNetName | None = _parameter(usual="retinanet_resnet50_fpn")
    """Which network."""
    max_size: int | None = _parameter(ge=32, le=8192)
    """The most that an image's longer side may become, in pixels; in proportion to the input size
    unless given."""
    norm_eps: float | None = _parameter(usual=1e-5, ge=0, le=1)
    """Added to the variance in the backbone's batch norms."""
    backbone: ResNetName | Mobile | None = _parameter(usual="resnet18")
    """The light network's backbone."""
    backbone_width: int | None = _parameter(usual=32, ge=1, le=128)
    """Channels of the first stage of a light network's ResNet."""
    pyramid_width: int | None = _parameter(usual=64, ge=8, le=512)
    """Channels of every level of the light network's pyramid and of its heads, a multiple of 8."""
    levels: int | None = _parameter(usual=3, ge=1, le=4)
    """Levels of the light network's pyramid, the last of stride 32."""
    anchor_px: int | None = _parameter(usual=16, ge=1, le=1024)
    """Side of the finest level's smallest anchors in pixels, doubled from level to level."""


class ScratchDetrNetwork(Network):
    """The parameters of a `fracture_core.nets.detr`."""

    query_count: int | None = _parameter(usual=4, ge=1, le=10_000)
    """Queries, which are the most boxes that an image can get."""
    backbone: ResNetName | Mobile | None = _parameter(usual="resnet50")
    """The network whose features the transformer reads."""
    backbone_width: int | None = _parameter(usual=64, ge=1, le=1024)
    """Channels of the first stage of a ResNet; small networks have one width."""
    backbone_depth: int | None = _parameter(usual=4, ge=1, le=4)
    """Stages of the backbone; 4 = features of stride 32, 3 = of stride 16."""
    frozen_norm: bool | None = _parameter()
    """Whether the backbone's batch norms are fixed; none = as in the DETR that it starts from, else
    whether it has a start."""
    width: int | None = _parameter(usual=256, ge=4, le=4096)
    """Channels of the transformer."""
    head_count: int | None = _parameter(usual=8, ge=1, le=4096)
    """Heads of every attention; they divide the width."""
    encoder_depth: int | None = _parameter(usual=3, ge=0, le=64)
    """Layers of the encoder."""
    decoder_depth: int | None = _parameter(usual=3, ge=1, le=64)
    """Layers of the decoder."""
    feedforward_width: int | None = _parameter(usual=2048, ge=1, le=65_536)
    """Channels between the two linear layers of every transformer layer."""
    dropout: float | None = _parameter(usual=0.3, ge=0, lt=1)
    """Share of values that the transformer leaves out at random."""
    norm_first: bool | None = _parameter(usual=False)
    """Whether layers normalise what they read instead of what they write."""
    auxiliary: bool | None = _parameter(usual=True)
    """Whether the loss takes in every decoder layer, or the last one alone."""
    two_stage: bool | None = _parameter(usual=False)
    """Whether queries are the likeliest cells of the image instead of learnt ones."""


class HfDetrNetwork(Network):
    """The parameters of an architecture of transformers.

    Listed are those of DETR and most of its relatives. Further ones of an architecture are taken by
    their name in transformers and are checked when its network is built.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Scalar]

    name: str | None = _parameter(usual="detr:random")
    """Architecture and size of a network with random weights, such as rt_detr:small."""
    auxiliary_loss: bool | None = _parameter(usual=True)
    """DETR: whether the loss takes in every decoder layer, or the last one alone."""
    longest_edge: int | None = _parameter(ge=1, le=65_536)
    """The most that an image's longer side may become, in pixels."""
    square: bool | None = _parameter()
    """Whether images are stretched to a square of the input size, whatever their shape."""
    num_queries: int | None = _parameter(ge=1, le=16_384)
    """Queries, which are the most boxes that an image can get."""
    encoder_layers: int | None = _parameter(ge=0, le=64)
    """Layers of the encoder."""
    decoder_layers: int | None = _parameter(ge=1, le=64)
    """Layers of the decoder."""
    d_model: int | None = _parameter(ge=1, le=16_384)
    """Channels of the transformer."""
    encoder_attention_heads: int | None = _parameter(ge=1, le=16_384)
    """Heads of the encoder's attention; they divide the width."""
    decoder_attention_heads: int | None = _parameter(ge=1, le=16_384)
    """Heads of the decoder's attention; they divide the width."""
    encoder_ffn_dim: int | None = _parameter(ge=1, le=16_384)
    """Channels between the two linear layers of every encoder layer."""
    decoder_ffn_dim: int | None = _parameter(ge=1, le=16_384)
    """Channels between the two linear layers of every decoder layer."""
    dropout: float | None = _parameter(ge=0, le=1)
    """Share of values that the transformer leaves out at random."""
    attention_dropout: float | None = _parameter(ge=0, le=1)
    """Share of attention weights that are left out at random."""


class YoloNetwork(Network):
    """The parameters of a network of Ultralytics, and settings that only its trainer has.

    https://docs.ultralytics.com/usage/cfg explains them.
    """

    name: str | None = _parameter()
    """An architecture such as yolo11n.yaml; without it the one of the weights it begins from."""
    width: float | None = _parameter(gt=0, le=8)
    """Channels are multiplied by this, in place of the size's own factor."""
    depth: float | None = _parameter(gt=0, le=8)
    """Repeated blocks are multiplied by this, in place of the size's own factor."""
    mosaic: Share = 0.0
    """Probability that four images are put together."""
    close_mosaic: Annotated[int, Field(ge=0)] = 0
    """Last epochs without mosaics."""
    mixup: Share = 0.0
    """Probability that two images are blended."""
    cutmix: Share = 0.0
    """Probability that a part of an image is put into another one."""
    copy_paste: Share = 0.0
    """Probability that outlined objects are copied from image to image."""
    shear: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Sheared by up to this angle either way, in degrees."""
    perspective: Share = 0.0
    """Strength of a change of perspective; 0.001 is much."""
    multi_scale: Share = 0.0
    """The input size varies by up to this share of it."""
    box: Annotated[float, Field(ge=0)] = 7.5
    """Weight of the boxes' IoU in the loss."""
    cls: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the classes in the loss."""
    dfl: Annotated[float, Field(ge=0)] = 1.5
    """Weight of the distribution focal loss of the boxes' edges."""
    cls_pw: Share = 0.0
    """Classes are weighed by their rarity to this power."""
    momentum: Share = 0.9
    """Momentum of sgd, first beta of adam and adamw."""
    nbs: Annotated[int, Field(ge=0)] = 0
    """Nominal batch: gradients of about this many images add up before a step, of fewer in the
    warm-up; 0 = each batch is a step."""
    warmup_bias_lr: Share = 0.0
    """Learning rate of the biases at the start of the warm-up."""
    warmup_momentum: Share = 0.9
    """Momentum at the start of the warm-up."""
    lrf: Share = 1.0
    """Share of the learning rate that is left at the end, where the schedule is constant."""
    overlap_mask: bool = True
    """Whether the outlines of an image are learnt from one map instead of from one each."""
    mask_ratio: Annotated[int, Field(ge=1)] = 4
    """Outlines are learnt from maps that are smaller by this factor."""


def checked(kind: type[T], values: Mapping[str, object]) -> T:
    """Make an architecture of a dataclass or model `kind` from values by name.

    Raises ConfigError, named after the parameter, where a value does not fit.
    """
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part in values) or "network"
        name = where if where == "network" else f"network.{where}"
        raise ConfigError(name, expected="a valid value", found=first["msg"]) from error


def choices(annotation: Any) -> tuple[object, ...]:
    """Return the values of all literals in a type, in their order.

    Example:
        >>> choices(Mobile | None)
        ('efficientnet_lite0', 'mobilenet_v2')
    """
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(value for each in get_args(annotation) for value in choices(each))
