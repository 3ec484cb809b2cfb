"""Stochastic depth for any residual block, as pure functions (Huang 2016).

A block computes ``y = block(x)`` with ``y = x + branch(x)``. A dropped row keeps ``x``, a kept row
gets ``x + (y - x) / keep``. *mask* computes all rows and then chooses; *skip* computes the kept
rows only (Oquab 2023, DINOv2).
"""

import torch
from torch import Tensor
from torch.compiler import is_compiling

from thinned._checks import check_choice

MODES = ("row", "batch", "skip")


def keep_mask(x: Tensor, rate: float | Tensor, mode: str = "row") -> Tensor:
    """Draw which samples keep their block: booleans of shape (B, 1, ..., 1).

    Args:
        x: the block's input, samples along axis 0.
        rate: the probability to drop. A 0-dim tensor is read at run time, and so costs a compiled
            model no recompilation.
        mode: ``"row"`` draws for each sample, ``"batch"`` once for all of them.
    """
    check_choice("mode", mode, ("row", "batch"))
    rows = x.shape[0] if mode == "row" else 1
    return torch.rand([rows, *[1] * (x.dim() - 1)], device=x.device) >= rate


def apply_mask(
    x: Tensor, y: Tensor, keep: Tensor, rate: float | Tensor, *, scale: bool = True
) -> Tensor:
    """Return the block's output ``y`` where kept and its input ``x`` elsewhere.

    Args:
        x: the block's input.
        y: the block's output, of the same shape.
        keep: what :func:`keep_mask` drew.
        rate: the rate that it was drawn with.
        scale: divide the kept branch by 1 - rate, so that its mean stays. ``False`` is right where
            a norm or an activation follows the addition inside of the block (post-norm): scaled
            values would leave the range of its output.
    """
    if not scale:
        return torch.where(keep, y, x)
    if isinstance(rate, Tensor):
        factor = torch.where(rate < 1.0, 1.0 / (1.0 - rate), 0.0)
        # At rate 0 the block's own output, to the bit: x + (y - x) is not y in general.
        kept = torch.where(rate > 0.0, x + (y - x) * factor, y).to(y.dtype)
        return torch.where(keep, kept, x)
    if rate == 0.0:
        return y
    if rate == 1.0:
        return torch.where(keep, y, x)
    noise = keep.to(y.dtype) / (1.0 - rate)
    return torch.addcmul(x, y - x, noise)


def kept_rows(x: Tensor, count: int) -> Tensor:
    """Draw ``count`` different rows of ``x``, as indices."""
    if is_compiling():  # inductor fails on `randperm` where sizes may move
        return torch.rand(x.shape[0], device=x.device).topk(count).indices
    return torch.randperm(x.shape[0], device=x.device)[:count]


def put_back(x: Tensor, y: Tensor, rows: Tensor, *, scale: bool = True) -> Tensor:
    """Return ``x`` with the kept rows replaced by what the block made of them.

    Args:
        x: the block's whole input.
        y: the block's output for ``x[rows]``.
        rows: what :func:`kept_rows` drew.
        scale: multiply the kept branch by B / n, the exact inverse of the share that is kept, so
            that the mean over draws is that of the plain block. ``False`` as in :func:`apply_mask`.
    """
    batch, count = x.shape[0], y.shape[0]
    if not scale:
        return x.index_copy(0, rows, y.to(x.dtype))
    branch = y - x.index_select(0, rows)
    return x.index_add(0, rows, branch.to(x.dtype), alpha=batch / count)
