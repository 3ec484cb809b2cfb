"""Real data that scikit-learn ships, with splits of its own for every seed."""

import dataclasses
import functools

import sklearn.datasets
import torch
from torch import Tensor

from thinned.app.data import split

Part = tuple[Tensor, Tensor]


@dataclasses.dataclass(frozen=True)
class Data:
    """Three parts that share no sample; ``others`` are further test sets by name."""

    train: Part
    val: Part
    test: Part
    others: dict[str, Part] = dataclasses.field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """Number of classes, or 1 for a number."""
        return int(self.test[1].max()) + 1 if self.test[1].dtype == torch.int64 else 1


@functools.cache
def load(name: str) -> Part:
    """Return all samples: digits as images in [0, 1], tables as they are."""
    x, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    x = torch.as_tensor(x, dtype=torch.float32)
    if name == "digits":
        x = x.reshape(-1, 1, 8, 8) / 16
    return x, torch.as_tensor(y, dtype=torch.float32 if name == "diabetes" else torch.int64)


def draw(
    name: str, seed: int, train: int, val: int = 200, test: int = 800, *, wrong: float = 0.0
) -> Data:
    """Split by ``seed``; the test part is cut to ``test`` samples, tables are standardized.

    A share ``wrong`` of the labels for training and validation is drawn anew.
    """
    x, y = load(name)
    rows = split(len(x), train, val, seed)
    if x.ndim == 2:
        x = standardized(x, rows[0])
    if y.dtype == torch.float32:
        y = standardized(y[:, None], rows[0])
    noisy = y
    if wrong:
        generator = torch.Generator().manual_seed(seed)
        hit = torch.rand(len(y), generator=generator) < wrong
        anew = torch.randint(int(y.max()) + 1, y.shape, generator=generator)
        noisy = torch.where(hit, anew, y)
    last = rows[2][:test]
    return Data((x[rows[0]], noisy[rows[0]]), (x[rows[1]], noisy[rows[1]]), (x[last], y[last]))


def standardized(values: Tensor, rows: Tensor) -> Tensor:
    """Subtract the mean and divide by the deviation of the training samples."""
    part = values[rows]
    return (values - part.mean(0)) / part.std(0, correction=0).clamp_min(1e-6)
