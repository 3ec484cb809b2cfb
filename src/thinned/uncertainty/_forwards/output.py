"""The tensor in what a model returns, and whether samples of it have a mean."""

from typing import Any

import torch
from torch import Tensor


def output_of(value: Any) -> Tensor:
    """Return the tensor in what a model returns: itself, its ``logits``, or the first entry."""
    if isinstance(value, Tensor):
        return value
    logits = getattr(value, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    if isinstance(value, dict) and value:
        return output_of(value.get("logits", next(iter(value.values()))))
    if isinstance(value, tuple | list) and value:
        return output_of(value[0])
    msg = f"Expected the model to return a tensor, got {type(value).__name__}. "
    raise TypeError(msg + "Wrap it in a module whose forward returns the tensor.")


def check_target(rows: Tensor, target: Tensor, what: str) -> None:
    """Refuse true classes that do not belong to rows of scores.

    Args:
        rows: a score of each class, shape ``(N, C)``.
        target: the classes, shape ``(N,)``.
        what: what the scores are, for the message.

    Raises:
        TypeError: if the classes are not whole numbers.
        ValueError: if the shapes do not match, there are no rows, or a class is out of range.
    """
    if rows.dim() != 2 or target.shape != rows.shape[:1] or not len(target):
        msg = f"Expected {what} of shape (N, C) and a target of shape (N,), got "
        raise ValueError(f"{msg}{tuple(rows.shape)} and {tuple(target.shape)}.")
    if target.is_floating_point():
        raise TypeError(f"Expected a target of classes, whole numbers, got {target.dtype}.")
    if not 0 <= int(target.min()) <= int(target.max()) < rows.shape[1]:
        msg = f"Expected a target of classes from 0 to {rows.shape[1] - 1}, got "
        raise ValueError(f"{msg}{int(target.min())} to {int(target.max())}.")


def check_values(output: Tensor) -> None:
    """Refuse an output that has no mean: empty, or integers.

    Raises:
        TypeError: if it holds integers.
        ValueError: if it holds nothing.
    """
    if output.numel() == 0:
        msg = f"Expected an output with values, got one of shape {tuple(output.shape)}. "
        raise ValueError(msg + "Give the model at least one row.")
    if not (output.is_floating_point() or output.is_complex() or output.dtype is torch.bool):
        msg = f"Expected an output of real or complex numbers, got {output.dtype}, whose mean says "
        raise TypeError(msg + "nothing. Return logits or probabilities, not classes or tokens.")
