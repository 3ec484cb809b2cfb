"""A small convolutional network."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from thinned._checks import check_rate

from ._parts import Network, activation_layer, head


def cnn(
    shape: Sequence[int],
    outputs: int,
    *,
    channels: Sequence[int] = (32, 64),
    hidden: int = 128,
    activation: str = "relu",
    dropout: float = 0.0,
) -> Network:
    """Build stages of convolution, activation, pooling and dropout, then a head.

    Images ``(channels, height, width)`` get 2-d convolutions; a row of features ``(features,)``
    gets 1-d ones along the row.

    Args:
        shape: of one input, without the batch.
        outputs: number of classes, or 1 for a number.
        channels: of the stages; each halves height and width.
        hidden: units of the head's hidden layer, at least 1.
        activation: ``"relu"``, ``"gelu"``, ``"silu"``, ``"selu"`` or ``"tanh"``.
        dropout: rate that the sites are built with, in [0, 1].

    Example:
        >>> cnn((1, 8, 8), 10)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
        >>> cnn((13,), 3)(torch.zeros(2, 13)).shape
        torch.Size([2, 3])
    """
    image = len(shape) == 3
    conv, pool = (nn.Conv2d, nn.MaxPool2d) if image else (nn.Conv1d, nn.MaxPool1d)
    layers: list[nn.Module] = [] if image else [nn.Unflatten(1, (1, shape[0]))]
    inputs = shape[0] if image else 1
    for outs in channels:
        layers += [
            conv(inputs, outs, kernel_size=3, padding=1),
            activation_layer(activation),
            pool(2),
            nn.Dropout(check_rate("dropout", dropout)),
        ]
        inputs = outs
    body = nn.Sequential(*layers, nn.Flatten())
    return Network(body, head(_features(body, shape), hidden, outputs, activation, dropout))


def _features(body: nn.Module, shape: Sequence[int]) -> int:
    """Return how many features the body makes, by a trial that draws no random number."""
    mode = body.training
    with torch.no_grad():
        output: Tensor = body.eval()(torch.zeros(1, *shape))
    body.train(mode)
    return math.prod(output.shape[1:])
