"""Why a probe cannot be rehearsed: its loader, the model and its data, or a hook."""

import traceback
from collections.abc import Callable
from typing import Any

from .data import CLEAN_LOADER


def why_not(
    error: Exception, loader: str, validation: list[Any], rehearse: Callable[[Any], None]
) -> str:
    """Say why a rehearsal failed.

    Args:
        error: what was raised.
        loader: which loader it was rehearsed with, in words.
        validation: validation's loaders: where the step cannot read those either, the monitor is
            only the first to meet an error that is none of its own.
        rehearse: rehearses with another loader.
    """
    said = f"{type(error).__name__}: {error}"
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    hooks = [name for name in names if name.startswith("on_validation")]
    if hooks and "validation_step" not in names:
        return (
            f"{hooks[-1]} cannot run when validation is rehearsed with one batch of training, "
            f"before the first step: {said}. Skip there what needs training, as in a sanity check: "
            "`if self.trainer.sanity_checking: return`."
        )
    if validation and _fails(rehearse, validation[0]):
        return (
            f"validation_step can read a batch neither of {loader} nor of the validation loader: "
            f"{said}. Model and data do not go together, or the step has an error; the monitor, "
            "which rehearses before the first step, only meets it first. The error above is yours."
        )
    return f"validation_step cannot read a batch of {loader}: {said}. {CLEAN_LOADER}"


def _fails(rehearse: Callable[[Any], None], loader: Any) -> bool:
    try:
        rehearse(loader)
    except Exception:  # whatever it is, it is none of the probe's
        return True
    return False
