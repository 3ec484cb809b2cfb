"""A multi-layer perceptron."""

import math
from collections.abc import Sequence

from torch import nn

from thinned._checks import check_rate

from ._parts import Network, activation_layer, head


def mlp(
    shape: Sequence[int],
    outputs: int,
    *,
    widths: Sequence[int] = (256, 256),
    activation: str = "relu",
    dropout: float = 0.0,
) -> Network:
    """Build linear layers, each with activation and dropout; the last hidden one is the head's.

    Args:
        shape: of one input, without the batch.
        outputs: number of classes, or 1 for a number.
        widths: units of the hidden layers, at least two layers.
        activation: ``"relu"``, ``"gelu"``, ``"silu"``, ``"selu"`` or ``"tanh"``.
        dropout: rate that the sites are built with, in [0, 1].

    Raises:
        ValueError: if there are fewer than two hidden layers.

    Example:
        >>> import torch
        >>> mlp((1, 8, 8), 10, widths=[32, 16])(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """
    if len(widths) < 2:
        msg = f"Expected `widths` to have two layers or more, got {list(widths)}. Write [64, 64]."
        raise ValueError(msg)
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = math.prod(shape)
    for width in widths[:-1]:
        layers += [
            nn.Linear(inputs, width),
            activation_layer(activation),
            nn.Dropout(check_rate("dropout", dropout)),
        ]
        inputs = width
    return Network(nn.Sequential(*layers), head(inputs, widths[-1], outputs, activation, dropout))
