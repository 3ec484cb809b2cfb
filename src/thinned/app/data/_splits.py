"""Fixed splits into training, validation and test."""

import torch
from torch import Tensor

from thinned._checks import check_number


def split(size: int, train_size: int, val_size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of training, validation and test; test is what the others leave.

    The same ``seed`` gives the same permutation, whatever the sizes: a smaller training set is part
    of a larger one only if ``val_size`` is the same, since validation is taken first.

    Args:
        size: number of samples, from 3 on.
        train_size: number of training samples, at least 1.
        val_size: number of validation samples, at least 1.
        seed: of the permutation.

    Raises:
        ValueError: if the splits do not leave one sample for test.

    Example:
        >>> [len(part) for part in split(100, train_size=20, val_size=30, seed=0)]
        [20, 30, 50]
    """
    check_number("train_size", train_size, 1, size - 2, what="a number of samples")
    check_number("val_size", val_size, 1, size - 2, what="a number of samples")
    if train_size + val_size >= size:
        msg = (
            f"Expected `train_size` + `val_size` to be less than the {size} samples, got "
            f"{train_size} + {val_size}. What is left is the test split; lower one of them."
        )
        raise ValueError(msg)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    val, rest = order[:val_size], order[val_size:]
    return rest[:train_size], val, rest[train_size:]
