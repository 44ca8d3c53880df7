"""Settings of trainings that take seconds."""

TINY_DETR = {
    "start": "",
    "input_size": 64,
    "device": "cpu",
    "network.backbone": "resnet18",
    "network.backbone_width": 8,
    "network.width": 16,
    "network.head_count": 2,
    "network.feedforward_width": 16,
}
