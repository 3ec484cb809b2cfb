"""What the models of the zoo are called with."""

from typing import Any

import torch
from torch import Tensor, nn

Built = tuple[nn.Module, Any]
"""A model, and what it is called with: a tensor, a tuple, or a dictionary of keywords."""

BATCH = 2


def image(size: int = 64) -> Tensor:
    """Noise as (N, 3, size, size)."""
    return torch.randn(BATCH, 3, size, size)


def ids(length: int = 12, words: int = 50) -> Tensor:
    """Token ids as (N, length), without the special ones."""
    return torch.randint(3, words, (BATCH, length))
