"""The part of a training's config that all families share; `trainers.family_configs` has the rest.

The docstring of each setting is its help text on the page of trainings. Settings are frozen, and
unknown ones are refused.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fracture_core.operating_points import parse_rule
from fracture_core.scope import Scope
from trainers.networks import Network, Share

FINDINGS_CLASSES = ("healthy", "fracture")

# The metrics that a training can watch, and whether more of each is better.
MONITORS: dict[str, bool] = {
    "loss": False,
    "ap": True,
    "ap50": True,
    "mask_ap": True,
    "mask_ap50": True,
    "f1": True,
    "any_hit_f1": True,
    "accuracy": True,
    "balanced_accuracy": True,
    "macro_f1": True,
    "weighted_f1": True,
}


class Settings(BaseModel):
    """A group of settings; it is frozen, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Augment(Settings):
    """What is changed at random in training images; boxes and masks move with the pixels."""

    flip: Share = 0.0
    """Probability that an image is mirrored left for right."""
    flip_vertical: Share = 0.0
    """Probability that an image is mirrored top for bottom."""
    brightness: Share = 0.0
    """Grey values are multiplied by a factor of up to 1 ± this."""
    contrast: Share = 0.0
    """Distances from the mean grey are multiplied by a factor of up to 1 ± this."""
    blur: Share = 0.0
    """Probability of a Gaussian blur of 3 × 3 pixels."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Least and greatest standard deviation of the blur, in pixels."""
    degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Images are turned by up to this angle either way, in degrees."""
    shift: Share = 0.0
    """Images are moved by up to this share of their width and height."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Least and greatest enlargement about the centre."""
    crop: Share = 0.0
    """Probability of a random crop that is then enlarged to the full input."""
    crop_least: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Least share of each side of the image that a crop keeps."""
    around: Share = 0.0
    """Probability that a crop of an image with a finding is laid around one."""
    sizes: tuple[Annotated[float, Field(ge=0.1, le=4)], ...] = ()
    """Shorter sides that images are resized to, in shares of the input size, one drawn for each, as
    DETR does; empty = always the input size."""
    longest: Annotated[float, Field(ge=1, le=10)] = 1333 / 800
    """The most that a resized image's longer side may become, in shares of the input size."""
    crop_sizes: tuple[Annotated[float, Field(ge=0.1, le=4)], ...] = ()
    """Shorter sides at which a crop is cut out before it is resized, in shares of the input size,
    one drawn for each, as DETR does; empty = crops keep a share of each side."""
    crop_sides: tuple[float, float] = (384 / 800, 600 / 800)
    """Least and greatest side of such a crop, in shares of the input size."""
    least_left: Share = 0.25
    """Boxes of which a smaller share of the area is left in the image are no ground truth any more;
    0 = a sliver is enough."""

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        if self.around and not self.crop:
            raise ValueError("around: expected crop above 0, which says how often there is a crop")
        if self.crop_sizes and not (self.crop and self.sizes):
            raise ValueError("crop_sizes: expected crop above 0, and sizes to resize the crop to")
        if self.crop_sizes and self.around:
            raise ValueError("around: expected crop_sizes empty, as those crops are anywhere")
        for name in ("blur_sigma", "scale", "crop_sides"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}: expected two numbers, 0 < least ≤ greatest")
        return self


class Phase(Settings):
    """The settings of one phase of a training: epochs, optimiser, schedule, and when to stop."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 10
    """How often the training split is gone through."""
    lr: Annotated[float, Field(gt=0, le=10)] = 1e-4
    """Learning rate of everything but the backbone."""
    backbone_lr: Annotated[float | None, Field(ge=0, le=10)] = None
    """Learning rate of the backbone; none = that of the rest."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-4
    """Weight decay, as the optimiser defines it."""
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    """The optimiser; sgd has a Nesterov momentum of 0.9."""
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    """Gradients of a larger norm are scaled down to this one; 0 = never."""
    schedule: Literal["constant", "step", "plateau", "cosine"] = "constant"
    """How the learning rate changes from epoch to epoch."""
    schedule_every: Annotated[int, Field(ge=1)] = 10
    """Step: epochs between two reductions. Plateau: epochs without improvement before one."""
    schedule_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Step and plateau: what a reduction multiplies by. Cosine: the share left at the end."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """The learning rate grows from 0 over this many steps."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Where warmup_steps is 0, it grows over this many epochs, but not in the last one."""
    warmup_share: Share = 1.0
    """A warm-up in epochs takes at most this share of all epochs."""
    frozen_stages: Annotated[int, Field(ge=0, le=5)] = 0
    """Backbone stages that are not trained: 1 = stem, 3 = stem and two stages, 5 = all."""
    frozen_names: tuple[str, ...] = ()
    """Weights of the backbone that are not trained either: those whose name, as in torchvision's
    ResNet, holds one of these, such as conv1 or layer2."""
    frozen_epochs: Annotated[int, Field(ge=0)] = 0
    """After this many epochs the frozen stages are trained, too; 0 = they stay frozen."""
    monitor: str = "ap"
    """The validation metric that decides which checkpoint is best."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Training stops after this many epochs without a better value of the metric; 0 = never."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """A value is better where it beats the best one by more than this."""

    def warmup(self, epoch_steps: int) -> int:
        """Return how many steps the warm-up takes, with so many steps in an epoch.

        Example:
            >>> Phase(epochs=50, warmup_epochs=3).warmup(200)
            600
            >>> Phase(epochs=6, warmup_epochs=3, warmup_share=0.1).warmup(200)
            120
        """
        if self.warmup_steps:
            return self.warmup_steps
        most = min(self.warmup_share * self.epochs, self.epochs - 1)
        return round(min(self.warmup_epochs, most) * epoch_steps)

    def is_better(self, metric: float, best: float | None) -> bool:
        """Return whether a value of the watched metric beats the best one so far, None = none yet.

        Example:
            >>> Phase(monitor="loss", min_delta=0.1).is_better(0.85, best=0.9)
            False
        """
        if best is None:
            return True
        gain = metric - best if MONITORS[self.monitor] else best - metric
        return gain > self.min_delta

    @model_validator(mode="after")
    def _check_monitor(self) -> Self:
        if self.monitor not in MONITORS:
            raise ValueError(f"monitor: expected one of {', '.join(MONITORS)}")
        return self


class SecondPhase(Phase):
    """The settings of a second phase, which goes on from the best checkpoint of the first."""

    best_anew: bool = False
    """Look for the best checkpoint anew, so that this phase's weights are kept even where those of
    the first one were better."""


class TrainConfig(Phase):
    """What every family's config has: the data, the network, the first phase and what follows.

    A run has the config of its family, which is a subclass of this.
    """

    monitors: ClassVar[tuple[str, ...]] = tuple(MONITORS)
    """The metrics that the family's validation computes."""
    unused: ClassVar[tuple[str, ...]] = ()
    """Common settings, by dotted name, that the family has no use for."""

    recipe: str = ""
    """The recipe that the config was made from."""
    family: str
    """The model family."""
    data: str
    """The data set: a file or folder that can be opened by itself."""
    train_split: str = "train"
    """The split that is trained on."""
    valid_split: str = "val"
    """The split that is validated on after every epoch; operating points are chosen on it."""
    test_split: str = "test"
    """The split that is evaluated once, at the end; without it that is the validation split."""
    data_licence: str = "unknown"
    """The licence of the data, which is written on the card."""
    scope: Scope | None = None
    """What images the model is for, as its card says; none = told by the training images."""
    classes: tuple[str, ...] = ()
    """The data set's classes when the run was made; training stops if they have changed."""
    merge_classes: str = ""
    """All classes of the data set count as this one; empty = classes stay as they are."""
    is_a: dict[str, str] = {}
    """Classes that count as another one, such as {"wrist positive": "fracture"}."""
    normals: Annotated[float | None, Field(ge=0)] = None
    """How many images without a finding an epoch takes for each image with one, drawn anew each
    time; none = all."""
    limit: Annotated[int, Field(ge=0)] = 0
    """At most this many images of each split are used, drawn by the seed; 0 = all."""

    start: str = ""
    """What the network begins from, such as COCO_V1, IMAGENET1K_V2, a hub id, a model of the
    library or a weights file; empty = random weights."""
    network: Network = Network()
    """Parameters of the architecture, by the names on the model card."""
    input_size: Annotated[int, Field(ge=32, le=4096)] = 640
    """Side of the network's input in pixels, as on the model card."""

    batch: Annotated[int, Field(ge=1, le=65_536)] = 8
    """Images in each step, all processes and accumulated parts together."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """How many parts the images of a step go through in; doubled when memory runs out."""
    second_phase: SecondPhase | None = None
    """A second phase, which goes on from the best checkpoint of the first; none = there is none."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay in each step of an exponential moving average of the weights, which is then what is
    validated and kept as best; 0 = none. YOLO always has one; 0 = that of Ultralytics, 0.9999."""
    augment: Augment = Augment()
    """What is changed at random in training images."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """The same seed, data and machine give the same weights."""

    shown_confidence: Share = 0.5
    """Confidence threshold of the validation metrics that need one."""
    match_iou: Share = 0.5
    """IoU at which validation metrics match boxes with the ground truth."""
    rules: tuple[str, ...] = ()
    """Further rules by which operating points are chosen, beside the usual ones, such as
    sensitivity ≥ 0.95 or max any-hit F1."""
    validate_start: bool = True
    """Validate the network before its first step as well, as epoch 0 of the curves."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the training runs; auto = on a GPU if there is one."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the forward pass; float16 comes with gradient scaling, and without a GPU it is
    float32."""
    channels_last: bool = True
    """Use the memory layout in which convolutions are fastest, on a GPU and on a CPU."""
    compile: bool = False
    """Compile the network first: minutes at the start, faster steps on a GPU."""
    fused: bool = True
    """On a GPU, run the whole optimiser step as one kernel."""
    data_on_device: bool = True
    """Keep the packed data set in GPU memory where it fits."""
    trackers: tuple[str, ...] = ()
    """Where losses and metrics are also logged. TensorBoard writes into the run's folder; MLflow
    too, unless MLFLOW_TRACKING_URI names a server; W&B sends them to its servers."""

    @field_validator("rules")
    @classmethod
    def _check_rules(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        """Raise ConfigError for a rule that there is not."""
        return tuple(parse_rule(rule).name for rule in rules)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases in order; the config itself is the first one."""
        return (self,) if self.second_phase is None else (self, self.second_phase)

    @property
    def merged_at(self) -> float:
        """The NMS IoU at which boxes are merged before matching, where the network needs NMS."""
        return 0.5
