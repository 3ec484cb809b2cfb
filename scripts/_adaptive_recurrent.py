"""Recurrent networks for `scripts/adaptive`, other than those of `scripts/evidence`."""

from collections.abc import Mapping

from _adaptive_families import FamilyTask
from evidence_sections._data import Data
from evidence_sections._train import Recipe
from torch import Tensor, nn


class Recurrent(nn.Module):
    """Recurrent layers over the rows of an image, dropout between and behind them, an output."""

    def __init__(
        self, cell: type[nn.RNNBase], layers: int, width: int, outputs: int, rate: float
    ) -> None:
        super().__init__()
        between = rate if layers > 1 else 0.0
        self.read = cell(8, width, layers, batch_first=True, dropout=between)
        self.site = nn.Dropout(rate)
        self.output = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Read ``(N, 1, T, 8)`` row by row."""
        return self.output(self.site(self.read(x.squeeze(1))[0][:, -1]))


def _task(
    data: str, cell: type[nn.RNNBase], layers: int, width: int, steps: int, lr: float = 3e-3
) -> FamilyTask:
    def build(parts: Data, rate: float) -> nn.Module:
        return Recurrent(cell, layers, width, parts.outputs, rate)

    name = f"{cell.__name__.lower()}{layers}_{data.replace(' ', '_')}"
    return FamilyTask(name, data, build, steps, Recipe(lr=lr))


_ALL = (
    _task("digits", nn.LSTM, 2, 64, 400),
    _task("sequences", nn.LSTM, 2, 64, 600),
    _task("digits", nn.GRU, 3, 48, 400),
    _task("digits", nn.GRU, 1, 64, 400),
    _task("sequences", nn.LSTM, 1, 64, 800),
    _task("noisy digits", nn.GRU, 2, 64, 400),
    _task("digits", nn.RNN, 2, 64, 400, 1e-3),
    _task("signs", nn.GRU, 2, 48, 400),
)
RECURRENT_TASKS: Mapping[str, FamilyTask] = {task.name: task for task in _ALL}
"""No constant of the law was chosen on them."""
