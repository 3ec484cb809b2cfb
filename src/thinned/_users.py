"""Which objects are plain ones of the user's own: what those hold may be looked at and put back."""

from typing import Any

FOREIGN = (  # state of these is Lightning's, torch's or a library's; nothing of ours reaches it
    *("pytorch_lightning", "lightning", "lightning_fabric", "lightning_utilities", "torch"),
    *("wandb", "tensorboard", "torchmetrics", "logging", "threading", "_thread", "_io", "io"),
    *("builtins", "functools", "contextlib", "pathlib", "multiprocessing", "omegaconf", "thinned"),
    *("re", "weakref", "collections", "types", "enum", "datetime", "numpy", "random"),
)


def is_users(value: Any) -> bool:
    """Say whether an object is a plain one of the user's own, such as a meter."""
    if not hasattr(value, "__dict__"):
        return False
    roots = {base.__module__.partition(".")[0] for base in type(value).__mro__[:-1]}
    return not roots.intersection(FOREIGN)
