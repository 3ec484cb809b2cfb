"""Models of torchvision: their name, and what makes them small."""

from typing import Any

import torch
from zoo_inputs import Built, image

TORCHVISION: dict[str, dict[str, Any]] = {
    "alexnet": {"dropout": 0.1, "size": 64},
    "convnext_tiny": {},
    "densenet121": {"drop_rate": 0.1},
    "efficientnet_b0": {},
    "efficientnet_v2_s": {},
    "googlenet": {"aux_logits": True, "size": 224},
    "inception_v3": {"size": 299},
    "maxvit_t": {"input_size": (224, 224), "size": 224},
    "mnasnet0_5": {},
    "mobilenet_v2": {},
    "mobilenet_v3_small": {},
    "regnet_y_400mf": {},
    "resnet18": {},
    "resnext50_32x4d": {},
    "shufflenet_v2_x0_5": {},
    "squeezenet1_0": {},
    "swin_t": {"dropout": 0.1, "attention_dropout": 0.1},
    "swin_v2_t": {},
    "vgg11": {},
    "vit_b_16": {"image_size": 64, "dropout": 0.1, "attention_dropout": 0.1},
    "mvit_v2_s": {"dropout": 0.1, "video": (16, 224)},
    "video_swin": {"name": "swin3d_t", "video": (4, 64)},
    "r3d_18": {"video": (4, 64)},
    "deeplabv3_mobilenet_v3_large": {"weights_backbone": None},
    "fcn_resnet50": {"weights_backbone": None},
    "lraspp_mobilenet_v3_large": {"weights_backbone": None},
    "raft_small": {"size": 128, "pair": True},
}


def build_torchvision(name: str) -> Built:
    """Build a model with the rates of its own."""
    import torchvision

    options = dict(TORCHVISION[name])
    size = options.pop("size", options.get("image_size", 64))
    video, pair = options.pop("video", None), options.pop("pair", False)
    model = torchvision.models.get_model(options.pop("name", name), weights=None, **options)
    if video:
        frames, side = video
        return model, torch.randn(1, 3, frames, side, side)
    return model, (image(size), image(size)) if pair else image(size)
