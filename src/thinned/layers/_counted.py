"""Layers that keep a whole number of things, which follows from the rate, compiled or not."""

import torch
from torch import Tensor

from thinned.layers._rate import RateLayer

_WHOLE = 2**32


class CountedLayer(RateLayer):
    """A layer that keeps some of a number of things: rows of a batch, tokens of a sequence.

    Their number is a size, so compiled code needs it as an integer. It burns in a module's integers
    and floats alike; what it lets move is the size of a tensor. So the share that is kept is held
    as the size of a tensor without elements, in parts of ``_WHOLE``.

    Attributes:
        counts: whether it counts at all; to be set before ``p``.
    """

    counts: bool = True
    _size: Tensor

    def _hold(self, rate: float, device: torch.device | None) -> None:
        super()._hold(rate, device)
        self.note()

    def note(self) -> None:
        """Note the share that is kept, also where others have set the rate."""
        if self.counts:
            with torch.inference_mode(mode=False):  # another kind of tensor would compile anew
                self._size = torch.empty(round((1.0 - self._p) * _WHOLE), 0, device="cpu")

    def kept_of(self, number: int) -> int:
        """Return how many of ``number`` are kept: the share, rounded, at least 1; 0 at rate 1.

        Example:
            >>> from thinned.layers import TokenDrop
            >>> TokenDrop(0.3).kept_of(10), TokenDrop(0.99).kept_of(10), TokenDrop(1.0).kept_of(10)
            (7, 1, 0)
        """
        share: int = self._size.shape[0]
        if share == 0:
            return 0
        parts = number * share
        # To the nearest, and half-way to the even one, as `round` does.
        return max(1, (parts + _WHOLE // 2 - 1 + parts // _WHOLE % 2) // _WHOLE)
