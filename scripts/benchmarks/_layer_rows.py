"""What each variant is measured against: the fastest equal found, or one written by hand."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from thinned import layers


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: of the variant.
        ours: our module.
        equals: name -> the equal; the fastest counts.
        x: the input.
        limit: what the ratio must not exceed.
    """

    name: str
    ours: Any
    equals: dict[str, Any]
    x: Callable[[], Tensor]
    limit: float = 1.05


def library(name: str, attribute: str) -> Any:
    """Return a class of timm or torchvision, or ``None`` where it is not installed."""
    here = str(Path(__file__).parents[2] / "tests-integrations")
    try:
        if here not in sys.path:
            sys.path.insert(0, here)
        importlib.import_module("torchvision_ops").declare()
        return getattr(importlib.import_module(name), attribute)
    except ImportError:
        return None


class Hand(nn.Module):
    """An equal written by hand: a function, and parameters that it reads."""

    def __init__(self, function: Callable[..., Tensor], *parameters: Tensor):
        super().__init__()
        self.function = function
        self.values = nn.ParameterList(parameters)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.values)


def image() -> Tensor:
    return torch.randn(32, 64, 28, 28)


def tokens() -> Tensor:
    return torch.randn(64, 197, 384)


def noise(x: Tensor, *shape: int, p: float = 0.1) -> Tensor:
    return x.new_empty(shape).bernoulli_(1 - p).div_(1 - p)


def gaussian(x: Tensor, sigma: float = (0.1 / 0.9) ** 0.5) -> Tensor:
    return x * torch.empty_like(x).normal_(1.0, sigma)


def concrete(x: Tensor, logit: Tensor, t: float = 0.1, eps: float = 1e-7) -> Tensor:
    """The paper's own code, in torch."""
    p = torch.sigmoid(logit)
    u = torch.rand_like(x)
    z = torch.log(p + eps) - torch.log(1 - p + eps) + torch.log(u + eps) - torch.log(1 - u + eps)
    return x * (1 - torch.sigmoid(z / t)) / (1 - p)


def samplewise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One mask a sample, as the paper draws them."""
    masked = functional.dropout(weight.expand(len(x), *weight.shape), 0.1)
    return torch.baddbmm(bias, x.unsqueeze(1), masked.transpose(1, 2)).squeeze(1)


def words(x: Tensor, weight: Tensor) -> Tensor:
    """The embedding dropout of AWD-LSTM: a mask on the rows of the weight."""
    return functional.embedding(x, weight * noise(weight, len(weight), 1))


class LayerDropByHand(nn.ModuleList):
    """As fairseq does: one draw a layer, and a Python branch."""

    def forward(self, x: Tensor) -> Tensor:
        for layer, draw in zip(self, torch.empty(len(self)).uniform_(), strict=True):
            if draw >= 0.1:
                x = layer(x)
        return x


def rows() -> list[Row]:
    """Return all comparisons of the eager table."""
    torch.manual_seed(0)
    linear, conv, embedding = nn.Linear(512, 512), nn.Conv2d(64, 64, 3), nn.Embedding(10_000, 256)
    small = nn.Linear(256, 256)
    stack = nn.ModuleList(nn.Linear(384, 384) for _ in range(4))
    found = [
        Row("dropout", layers.Dropout(0.1), {"nn.Dropout": nn.Dropout(0.1)}, image),
        Row("spatial", layers.SpatialDropout(0.1), {"nn.Dropout2d": nn.Dropout2d(0.1)}, image),
        Row(
            "spatial, channels last",
            layers.SpatialDropout(0.1, channel_dim=-1),
            {"by hand": Hand(lambda x: x * noise(x, len(x), 1, x.shape[-1]))},
            tokens,
        ),
        Row("alpha", layers.AlphaDropout(0.1), {"nn.AlphaDropout": nn.AlphaDropout(0.1)}, image),
        Row(
            "feature_alpha",
            layers.FeatureAlphaDropout(0.1),
            {"nn.FeatureAlphaDropout": nn.FeatureAlphaDropout(0.1)},
            image,
        ),
        Row("gaussian", layers.GaussianDropout(0.1), {"by hand": Hand(gaussian)}, image),
        Row(
            "concrete",
            layers.ConcreteDropout(0.1),
            {"by hand": Hand(concrete, nn.Parameter(torch.tensor(-2.2)))},
            image,
        ),
        Row(
            "dropblock, a mask a channel",
            layers.DropBlock2d(0.1, 7),
            {"torchvision": _made("torchvision.ops", "DropBlock2d", 0.1, 7)},
            image,
            limit=0.5,
        ),
        Row(
            "dropblock, channels share",
            layers.DropBlock2d(0.1, 7, per_channel=False),
            {"timm": _made("timm.layers", "DropBlock2d", 0.1, 7)},
            image,
        ),
        Row(
            "dropconnect, linear",
            layers.DropConnectLinear.from_module(linear, 0.1),
            {
                "by hand": Hand(
                    lambda x, w, b: functional.linear(x, functional.dropout(w, 0.1), b),
                    linear.weight,
                    linear.bias,
                )
            },
            lambda: torch.randn(256, 512),
        ),
        Row(
            "dropconnect, a mask a sample",
            layers.DropConnectLinear.from_module(small, 0.1, mode="sample"),
            {"by hand": Hand(samplewise, small.weight, small.bias)},
            lambda: torch.randn(64, 256),
        ),
        Row(
            "dropconnect, conv2d",
            layers.DropConnectConv2d.from_module(conv, 0.1),
            {
                "by hand": Hand(
                    lambda x, w, b: functional.conv2d(x, functional.dropout(w, 0.1), b),
                    conv.weight,
                    conv.bias,
                )
            },
            image,
        ),
        Row(
            "locked",
            layers.LockedDropout(0.1),
            {"by hand": Hand(lambda x: x * noise(x, len(x), 1, x.shape[-1]))},
            tokens,
        ),
        Row(
            "word",
            layers.WordDropout.from_module(embedding, 0.1),
            {"by hand (AWD-LSTM's way)": Hand(words, embedding.weight)},
            lambda: torch.randint(10_000, (64, 128)),
        ),
        Row(
            "drop_path",
            layers.DropPath(0.1),
            {
                "timm": _made("timm.layers", "DropPath", 0.1),
                "torchvision": _made("torchvision.ops", "StochasticDepth", 0.1, "row"),
            },
            image,
        ),
        Row(
            "token_drop",
            layers.TokenDrop(0.5),
            {"timm": _made("timm.layers", "PatchDropout", 0.5, ordered=True)},
            tokens,
        ),
        Row(
            "layer_drop",
            layers.LayerDrop(stack, 0.1),
            {"by hand (fairseq's way)": LayerDropByHand(stack)},
            lambda: torch.randn(2048, 384),
        ),
    ]
    for row in found:
        for name in [name for name, equal in row.equals.items() if equal is None]:
            del row.equals[name]
    return [row for row in found if row.equals]


def _made(module: str, attribute: str, *args: Any, **kwargs: Any) -> Any:
    cls = library(module, attribute)
    return None if cls is None else cls(*args, **kwargs)
