"""A small transformer encoder."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from thinned._checks import check_rate

from ._parts import Network, check_size, head


class _Encoder(nn.Module):
    """Tokens, positions, pre-norm encoder layers, and the mean over the tokens."""

    def __init__(
        self, shape: Sequence[int], width: int, heads: int, layers: int, hidden: int, rate: float
    ) -> None:
        super().__init__()
        self.patch = 2 if len(shape) == 3 else 0
        if self.patch:
            tokens = (shape[1] // self.patch) * (shape[2] // self.patch)
            inputs = shape[0] * self.patch**2
        else:
            tokens, inputs = shape[0], 1
        self.embed = nn.Linear(inputs, width)
        self.position = nn.Parameter(0.02 * torch.randn(tokens, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, hidden, dropout=rate, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Read ``(N, C, H, W)`` in patches of 2 x 2, or ``(N, F)`` feature by feature."""
        if self.patch:
            tokens = functional.unfold(x, self.patch, stride=self.patch).transpose(1, 2)
        else:
            tokens = x[..., None]
        output: Tensor = self.norm(self.layers(self.embed(tokens) + self.position)).mean(dim=1)
        return output


def transformer(
    shape: Sequence[int],
    outputs: int,
    *,
    width: int = 64,
    heads: int = 4,
    layers: int = 2,
    hidden: int = 128,
    dropout: float = 0.0,
) -> Network:
    """Build encoder layers with dropout in attention and feed-forward, and a head.

    The tokens are patches of 2 x 2 pixels, or the features of a table.

    Args:
        shape: of one input, without the batch.
        outputs: number of classes, or 1 for a number.
        width: features of a token, a multiple of ``heads``.
        heads: number of attention heads, at least 1.
        layers: number of encoder layers, at least 1.
        hidden: units of the feed-forward and of the head's hidden layer, at least 1.
        dropout: rate that the sites are built with, in [0, 1].

    Raises:
        ValueError: if ``width`` is not a multiple of ``heads``.

    Example:
        >>> transformer((1, 8, 8), 10)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """
    check_size("layers", layers)
    check_size("hidden", hidden)
    if width % check_size("heads", heads):
        msg = f"Expected `width` to be a multiple of `heads`, got {width} and {heads}."
        raise ValueError(msg)
    body = _Encoder(shape, width, heads, layers, hidden, check_rate("dropout", dropout))
    return Network(body, head(width, hidden, outputs, "gelu", dropout))
