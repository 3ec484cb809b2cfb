"""More than a hundred models that nobody here wrote, built small from their configuration."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from zoo_inputs import BATCH, Built, image
from zoo_timm import TIMM, build_timm
from zoo_torchvision import TORCHVISION, build_torchvision
from zoo_transformers import TRANSFORMERS, build_transformers

__all__ = [
    "TIMM",
    "TORCHVISION",
    "TRANSFORMERS",
    "Built",
    "build_timm",
    "build_torchvision",
    "build_transformers",
    "builders",
]


def builders(rate: float = 0.1) -> dict[str, Callable[[], Built]]:
    """Return ``library/model`` to a function that builds it with this rate where it can."""
    made: dict[str, Callable[[], Built]] = {f"torch/{k}": v for k, v in _torch().items()}
    made |= {f"timm/{name}": partial(build_timm, name, rate) for name in TIMM}
    made |= {f"torchvision/{name}": partial(build_torchvision, name) for name in TORCHVISION}
    made |= {f"transformers/{n}": partial(build_transformers, n, rate) for n in TRANSFORMERS}
    return made


def _torch() -> dict[str, Callable[[], Built]]:
    sequence = torch.randn
    return {
        "transformer": lambda: (
            nn.Transformer(16, 2, 2, 2, 32, 0.1, batch_first=True),
            (sequence(BATCH, 6, 16), sequence(BATCH, 5, 16)),
        ),
        "transformer_encoder": lambda: (
            nn.TransformerEncoder(
                nn.TransformerEncoderLayer(16, 2, 32, 0.1, norm_first=True, batch_first=True),
                2,
                enable_nested_tensor=False,
            ),
            sequence(BATCH, 6, 16),
        ),
        "lstm": lambda: (nn.LSTM(8, 8, 2, dropout=0.1), sequence(5, BATCH, 8)),
        "gru": lambda: (nn.GRU(8, 8, 3, dropout=0.1, bidirectional=True), sequence(5, BATCH, 8)),
        "mlp": lambda: (
            nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.1), nn.AlphaDropout(0.1)),
            sequence(BATCH, 8),
        ),
        "conv": lambda: (
            nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout2d(0.1), nn.FeatureAlphaDropout(0.1)),
            image(8),
        ),
    }
