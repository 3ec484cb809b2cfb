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
    def inputs(self) -> int:
        """Numbers in one sample."""
        return self.train[0][0].numel()

    @property
    def outputs(self) -> int:
        """Number of classes, or 1 for a number."""
        if self.test[1].dtype != torch.int64:
            return 1
        return int(max(part[1].max() for part in (self.train, self.val, self.test))) + 1


@functools.cache
def load(name: str) -> Part:
    """Return all samples: digits as images in [0, 1], tables as they are."""
    x, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    x = torch.as_tensor(x, dtype=torch.float32)
    if name == "digits":
        x = x.reshape(-1, 1, 8, 8) / 16
    return x, torch.as_tensor(y, dtype=torch.float32 if name == "diabetes" else torch.int64)


def draw(name: str, seed: int, train: int, val: int, test: int, *, wrong: float = 0.0) -> Data:
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
    return parted(x, noisy, y, (rows[0], rows[1], rows[2][:test]))


def parted(x: Tensor, noisy: Tensor, y: Tensor, rows: tuple[Tensor, Tensor, Tensor]) -> Data:
    """Take the rows of the three parts; the last one has the true labels."""
    train, val, test = rows
    return Data((x[train], noisy[train]), (x[val], noisy[val]), (x[test], y[test]))


def standardized(values: Tensor, rows: Tensor) -> Tensor:
    """Subtract the mean and divide by the deviation of the training samples."""
    part = values[rows]
    return (values - part.mean(0)) / part.std(0, correction=0).clamp_min(1e-6)
