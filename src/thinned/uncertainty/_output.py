"""The tensor in what a model returns."""

from typing import Any

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
