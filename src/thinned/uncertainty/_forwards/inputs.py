"""What a model is called with, as it was: also after a forward that writes into its input."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .output import output_of
from .rows import tensors


class Inputs:
    """The tensors of an input, put back after each forward that has written into them.

    They are copied once. A tensor's version tells that somebody wrote into it, and costs nothing to
    look at. Not seen is what was written behind torch's back (``x.data``, ``x.numpy()``), and into
    sparse and nested tensors.

    Args:
        x: what a model is called with.
    """

    def __init__(self, x: Any) -> None:
        found = tensors(dict(x) if isinstance(x, Mapping) else x)
        self._kept = [_Kept(each) for each in found if _is_plain(each)]

    def output(self, forward: Callable[[], Any]) -> Tensor:
        """Return the tensor in what a forward returns, with the input as it was before."""
        try:
            output = output_of(forward())
            if any(kept.is_written() for kept in self._kept):
                output = output.clone()  # it may be the input itself
        finally:
            for kept in self._kept:
                kept.restore()
        return output


class _Kept:
    """One tensor of an input, and what was in it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.copy = tensor, tensor.detach().clone()
        self.place = tensor.shape, tensor.stride(), tensor.storage_offset()
        self.version = 0 if tensor.is_inference() else tensor._version

    def is_written(self) -> bool:
        """Say whether somebody wrote into it; of an inference tensor nobody counts versions."""
        if not self.tensor.is_inference():
            return self.tensor._version != self.version
        return torch.is_inference_mode_enabled() and not torch.equal(self.tensor, self.copy)

    def restore(self) -> None:
        """Put back what was in it, and its shape."""
        if not self.is_written():
            return
        if self.tensor.shape != self.copy.shape:  # of ``x.unsqueeze_(0)``
            self.tensor.as_strided_(*self.place)
        self.tensor.copy_(self.copy)
        if not self.tensor.is_inference():
            self.version = self.tensor._version


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_nested
