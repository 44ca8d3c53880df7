"""MobileNetV2 as a backbone of transformers, which has it as a classifier alone.

This module is imported where a configuration names the backbone; from then on the library builds it
by its model type.
"""

from typing import Any

from torch import Tensor

from fracture_core.models.hf_architectures import MOBILE
from fracture_core.models.quiet_transformers import part
from fracture_core.nets.mobile import MobileTrunk, layer_channels

_transformers = part("transformers")
_backbones = part("transformers.backbone_utils")
_outputs = part("transformers.modeling_outputs")
_NETWORK = "mobilenet_v2"


class MobileConfig(_backbones.BackboneConfigMixin, _transformers.PreTrainedConfig):  # type: ignore[misc,name-defined]
    """The backbone's configuration: which of "stem" and "stage1" to "stage4" are handed on."""

    model_type = MOBILE

    def __init__(self, out_features: list[str] | None = None, **others: Any) -> None:
        self.stage_names = ["stem", *(f"stage{number}" for number in range(1, 5))]
        indices = others.pop("out_indices", None)
        self.set_output_features_output_indices(out_indices=indices, out_features=out_features)
        super().__init__(**others)


class MobileBackbone(_backbones.BackboneMixin, _transformers.PreTrainedModel):  # type: ignore[misc,name-defined]
    """The trunk in the form that the library asks of a backbone.

    Its stem and four stages have strides of 2, 4, 8, 16 and 32.
    """

    config_class = MobileConfig
    has_attentions = False

    def __init__(self, config: MobileConfig) -> None:
        super().__init__(config)
        self.trunk = MobileTrunk(_NETWORK, with_head=False)
        self.num_features = [16, *layer_channels(_NETWORK)]
        self.post_init()

    def forward(self, pixel_values: Tensor, **_others: Any) -> Any:
        """Returns the maps of the chosen stages for (B, 3, H, W) pixels."""
        maps = []
        for name, stage in zip(self.stage_names, self.trunk.parts(), strict=True):
            pixel_values = stage(pixel_values)
            if name in self.out_features:
                maps.append(pixel_values)
        return _outputs.BackboneOutput(feature_maps=tuple(maps))


_transformers.AutoConfig.register(MOBILE, MobileConfig, exist_ok=True)
_transformers.AutoBackbone.register(MobileConfig, MobileBackbone, exist_ok=True)
