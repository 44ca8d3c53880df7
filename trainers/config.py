"""What every training is told; `trainers.family_configs` has what a family is told besides."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fracture_core.scope import Scope
from trainers.networks import Network, Share

FINDINGS_CLASSES = ("healthy", "fracture")

# What can be watched, and whether more of it is better.
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
    """A group of settings, of which unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Augment(Settings):
    """What is changed at random in a training image; boxes and masks move along."""

    flip: Share = 0.0
    """Probability of a mirror image, left for right."""
    flip_vertical: Share = 0.0
    """Probability of a mirror image, top for bottom."""
    brightness: Share = 0.0
    """Grey values are multiplied by 1 ± this."""
    contrast: Share = 0.0
    """Distance from the mean grey is multiplied by 1 ± this."""
    blur: Share = 0.0
    """Probability of a Gaussian blur, 3 × 3 pixels."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Least and greatest deviation of the blur in pixels."""
    degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Turned by up to this angle either way."""
    shift: Share = 0.0
    """Moved by up to this share of the width and of the height."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Least and greatest enlargement about the centre."""
    crop: Share = 0.0
    """Probability of a random crop that is then enlarged to the full input."""
    crop_least: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Least share of each side that a crop keeps."""
    around: Share = 0.0
    """Probability that a crop of an image with a finding is laid around one."""

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        if self.around and not self.crop:
            raise ValueError("around: expected crop above 0, which says how often there is a crop")
        for name in ("blur_sigma", "scale"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}: expected two numbers, 0 < least ≤ greatest")
        return self


class Phase(Settings):
    """How one phase of a training goes."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 10
    """How often the training split is gone through."""
    lr: Annotated[float, Field(gt=0, le=10)] = 1e-4
    """Learning rate of everything but the backbone."""
    backbone_lr: Annotated[float | None, Field(ge=0, le=10)] = None
    """Learning rate of the backbone; none = as the rest."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-4
    """Decay of the weights a step, as the optimiser defines it."""
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    """Which optimiser; sgd has a Nesterov momentum of 0.9."""
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    """Gradients are scaled down to this norm; 0 = never."""
    schedule: Literal["constant", "step", "plateau", "cosine"] = "constant"
    """How the learning rate changes from epoch to epoch."""
    schedule_every: Annotated[int, Field(ge=1)] = 10
    """Step: epochs between two reductions. Plateau: epochs without improvement before one."""
    schedule_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Step and plateau: what a reduction multiplies by. Cosine: the share left at the end."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """The learning rate grows from 0 over this many steps."""
    frozen_stages: Annotated[int, Field(ge=0, le=5)] = 0
    """Backbone stages that are not trained: 1 = stem, 3 = stem and two stages, 5 = all."""
    frozen_epochs: Annotated[int, Field(ge=0)] = 0
    """The stages are trained after this many epochs; 0 = they stay frozen."""
    monitor: str = "ap"
    """The validation figure that decides which checkpoint is best."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Stop after this many epochs without a better figure; 0 = never."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """What counts as better."""

    def is_better(self, metric: float, best: float | None) -> bool:
        """Whether the watched figure beats the best one so far, None = there is none."""
        if best is None:
            return True
        gain = metric - best if MONITORS[self.monitor] else best - metric
        return gain > self.min_delta

    @model_validator(mode="after")
    def _check_monitor(self) -> Self:
        if self.monitor not in MONITORS:
            raise ValueError(f"monitor: expected one of {', '.join(MONITORS)}")
        return self


class TrainConfig(Phase):
    """A training run: its data, its network, its first phase and what follows.

    It is the common part: a run has the config of its family.
    """

    monitors: ClassVar[tuple[str, ...]] = tuple(MONITORS)
    """The metrics that the family's validation gives."""
    unused: ClassVar[tuple[str, ...]] = ()
    """Common settings, by dotted name, that the family has no use for."""

    recipe: str = ""
    """The recipe it was made from."""
    family: str
    """The model family."""
    data: str
    """The data set: a file or folder that can be opened by itself."""
    train_split: str = "train"
    """Trained on."""
    valid_split: str = "val"
    """Validated on after every epoch; operating points are chosen on it."""
    test_split: str = "test"
    """Evaluated once, at the end; a data set without it is evaluated on the validation split."""
    data_licence: str = "unknown"
    """Written on the card."""
    scope: Scope | None = None
    """What images the model is for, on its card; none = what all training images tell."""
    classes: tuple[str, ...] = ()
    """The data set's classes when the run was made; training stops if they have changed."""
    merge_classes: str = ""
    """Every class counts as this one; empty = classes stay as they are."""
    is_a: dict[str, str] = {}
    """Classes that count as another, such as {"wrist positive": "fracture"}; empty = none does."""
    normals: Annotated[float | None, Field(ge=0)] = None
    """Images without a finding per image with one, drawn anew each epoch; none = all."""
    limit: Annotated[int, Field(ge=0)] = 0
    """At most this many images of each split, drawn by the seed; 0 = all."""

    start: str = ""
    """What the network begins from, such as COCO_V1, IMAGENET1K_V2, a hub id, a model of the
    library or a weights file; empty = random weights."""
    network: Network = Network()
    """Parameters of the architecture, by the names on the model card."""
    input_size: Annotated[int, Field(ge=32, le=4096)] = 640
    """Pixels of the input, as on the model card."""

    batch: Annotated[int, Field(ge=1, le=65_536)] = 8
    """Images a step, all processes and accumulated parts together."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Parts that a step's images are put through in; doubled when memory runs out."""
    second_phase: Phase | None = None
    """Goes on from the best checkpoint of the first phase."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay a step of an exponential moving average of the weights, which is what is validated and
    kept as best; 0 = none. YOLO always has one; 0 = as Ultralytics has it, 0.9999."""
    augment: Augment = Augment()
    """What is changed at random in training images."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """The same seed, data and machine give the same weights."""

    shown_confidence: Share = 0.5
    """Validation metrics that need a threshold take this one."""
    match_iou: Share = 0.5
    """Validation metrics that match boxes ask for this IoU."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; auto = a GPU if there is one."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the forward pass; float16 scales gradients."""
    channels_last: bool = True
    """Memory layout that convolutions like, on a GPU and on a CPU."""
    compile: bool = False
    """Compile the network first: minutes at the start, faster steps on a GPU."""
    fused: bool = True
    """One kernel for a whole optimiser step, on a GPU."""
    data_on_device: bool = True
    """Keep the packed data set in GPU memory where it fits."""
    trackers: tuple[str, ...] = ()
    """Also log to these trackers of Accelerate, such as tensorboard; they must be installed."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (self,) if self.second_phase is None else (self, self.second_phase)

    @property
    def merged_at(self) -> float:
        """The NMS IoU that boxes are merged at before they are matched, where they are merged."""
        return 0.5
