"""A recurrent network."""

from collections.abc import Sequence

from torch import Tensor, nn

from thinned._checks import check_rate

from ._parts import Network, check_size, head


class _LastStep(nn.Module):
    """The features of the last time step of a GRU."""

    def __init__(self, inputs: int, width: int, layers: int, rate: float) -> None:
        super().__init__()
        self.inputs = inputs
        self.gru = nn.GRU(inputs, width, layers, batch_first=True, dropout=rate)

    def forward(self, x: Tensor) -> Tensor:
        """Read ``(N, 1, H, W)`` row by row, or ``(N, F)`` feature by feature."""
        steps, _ = self.gru(x.reshape(len(x), -1, self.inputs))
        last: Tensor = steps[:, -1]
        return last


def gru(
    shape: Sequence[int],
    outputs: int,
    *,
    width: int = 64,
    layers: int = 2,
    hidden: int = 64,
    dropout: float = 0.0,
) -> Network:
    """Build a GRU with dropout between its layers, and a head on its last step.

    The steps are the rows of an image, or the features of a table.

    Args:
        shape: of one input, without the batch.
        outputs: number of classes, or 1 for a number.
        width: units of each recurrent layer, at least 1.
        layers: number of recurrent layers, at least 2, or there is nothing between them to drop.
        hidden: units of the head's hidden layer, at least 1.
        dropout: rate that the sites are built with, in [0, 1].

    Raises:
        ValueError: if there are fewer than two layers.

    Example:
        >>> import torch
        >>> gru((1, 8, 8), 10)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """
    if layers < 2:
        msg = f"Expected `layers` to be 2 or more, got {layers}. nn.GRU drops between layers only."
        raise ValueError(msg)
    check_size("width", width)
    inputs = shape[-1] if len(shape) == 3 else 1
    body = _LastStep(inputs, width, layers, check_rate("dropout", dropout))
    return Network(body, head(width, hidden, outputs, "relu", dropout))
