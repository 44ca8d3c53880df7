"""Our DETR with Hugging Face's weights gives Hugging Face's answers."""

import re

import torch
from torch import nn
from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

from fracture_core.nets.detr import Detr
from fracture_core.nets.transformer import Transformer

# Their names → ours, the prefix of a layer aside.
RENAMED = {
    r"^model\.query_position_embeddings\.weight$": "queries",
    r"^model\.input_projection\.": "projection.",
    r"^class_labels_classifier\.": "class_head.",
    r"^bbox_predictor\.layers\.0\.": "box_head.0.",
    r"^bbox_predictor\.layers\.1\.": "box_head.2.",
    r"^bbox_predictor\.layers\.2\.": "box_head.4.",
    r"^model\.decoder\.layernorm\.": "transformer.decoder_norm.",
    r"^model\.encoder\.layers\.(\d+)\.self_attn\.": r"transformer.encoder.\1.attention.",
    r"^model\.encoder\.layers\.(\d+)\.self_attn_layer_norm\.": (
        r"transformer.encoder.\1.attention_norm."
    ),
    r"^model\.decoder\.layers\.(\d+)\.self_attn\.": r"transformer.decoder.\1.self_attention.",
    r"^model\.decoder\.layers\.(\d+)\.self_attn_layer_norm\.": (
        r"transformer.decoder.\1.self_norm."
    ),
    r"^model\.decoder\.layers\.(\d+)\.encoder_attn\.": r"transformer.decoder.\1.cross_attention.",
    r"^model\.decoder\.layers\.(\d+)\.encoder_attn_layer_norm\.": (
        r"transformer.decoder.\1.cross_norm."
    ),
    r"^model\.(en|de)coder\.layers\.(\d+)\.mlp\.fc1\.": r"transformer.\1coder.\2.feedforward.0.",
    r"^model\.(en|de)coder\.layers\.(\d+)\.mlp\.fc2\.": r"transformer.\1coder.\2.feedforward.3.",
    r"^model\.(en|de)coder\.layers\.(\d+)\.final_layer_norm\.": (
        r"transformer.\1coder.\2.feedforward_norm."
    ),
    r"\.q_proj\.": ".query.",
    r"\.k_proj\.": ".key.",
    r"\.v_proj\.": ".value.",
    r"\.o_proj\.": ".out.",
}


def renamed(name: str) -> str:
    for theirs, ours in RENAMED.items():
        name = re.sub(theirs, ours, name)
    return name


class TheirEyes(nn.Module):
    """Their ResNet behind our backbone's face; ours is held against torchvision's elsewhere."""

    stride = 32
    channels = 12

    def __init__(self, theirs: DetrForObjectDetection) -> None:
        super().__init__()
        self.model = theirs.model.backbone.model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model(pixels).feature_maps[-1]


def their_detr() -> DetrForObjectDetection:
    torch.manual_seed(0)
    eyes = ResNetConfig(
        embedding_size=4,
        hidden_sizes=[4, 6, 8, 12],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage4"],
    )
    config = DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=eyes,
        num_labels=3,
        num_queries=5,
        d_model=16,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        attn_implementation="eager",
    )
    theirs = DetrForObjectDetection(config).eval()
    for parameter in theirs.parameters():
        # Fresh biases are zero and fresh norms the identity, which would hide a mix-up.
        parameter.data += 0.2 * torch.randn_like(parameter)
    return theirs


def our_detr(theirs: DetrForObjectDetection) -> Detr:
    transformer = Transformer(
        width=16,
        head_count=2,
        encoder_depth=2,
        decoder_depth=3,
        feedforward_width=24,
        dropout=0.1,
        norm_first=False,
    )
    ours = Detr(TheirEyes(theirs), transformer, class_count=3, query_count=5).eval()
    state = {renamed(k): v for k, v in theirs.state_dict().items() if "backbone" not in k}
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith("backbone.") for name in missing)
    return ours


def test_same_weights_same_answers() -> None:
    theirs = their_detr()
    ours = our_detr(theirs)
    pixels = torch.randn(2, 3, 128, 160)
    valid = torch.ones(2, 128, 160, dtype=torch.bool)
    valid[1, 96:] = False
    valid[1, :, 64:] = False
    pixels = pixels.masked_fill(~valid[:, None], 0)
    with torch.no_grad():
        expected = theirs(pixels, pixel_mask=valid.long(), output_attentions=True)
        answer = ours(pixels, valid, with_attention=True)
    close = {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(answer.logits, expected.logits, **close)
    torch.testing.assert_close(answer.boxes_cxcywh, expected.pred_boxes, **close)
    attention = expected.cross_attentions[-1].mean(dim=1)
    torch.testing.assert_close(answer.attention.flatten(2), attention, **close)
