"""What tells one choice of samples from another: a number that a checkpoint can hold."""

import warnings
import zlib
from typing import Any

import numpy as np
import torch

from thinned._errors import ThinnedWarning
from thinned.metrics._verdict_features import NEW_PROBE

from .data import CLEAN_LOADER, parts


def mark_of(value: Any) -> int:
    """Return the mark of indices or batches: equal ones have the same, also in another process.

    What is no number, text or tensor, nor holds such, does not count: its text may hold an address.

    Example:
        >>> mark_of([1, 2]) == mark_of([1, 2]), mark_of([1, 2]) == mark_of([2, 1])
        (True, False)
    """
    return _mark(value, 0)


def compared(before: int | None, now: int | None, epoch: int) -> dict[str, float]:
    """Return what is logged if a probe is another than before, and say so.

    Args:
        before: mark of the last evaluation; None where there is none, or it is not known.
        now: the mark of this one.
        epoch: this epoch.
    """
    if before in (None, now):
        return {}
    warnings.warn(
        "The probe holds other samples than at the last validation: those cannot be found again in "
        "this training set (a stream, a sampler of its own), or the probe was chosen otherwise. "
        f"The gap may jump at epoch {epoch}, where {NEW_PROBE!r} is logged. {CLEAN_LOADER}",
        ThinnedWarning,
        stacklevel=2,
    )
    return {NEW_PROBE: 1.0}


def _mark(value: Any, mark: int) -> int:
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_quantized:
            return mark
        raw: Any = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        return zlib.crc32(raw, mark)
    held = parts(value)
    if held is not None:
        for each in held:
            mark = _mark(each, mark)
        return mark
    if isinstance(value, np.ndarray):
        return mark if value.dtype.hasobject else zlib.crc32(value.tobytes(), mark)
    known = isinstance(value, int | float | str | bytes | np.generic)
    return zlib.crc32(repr(value).encode(), mark) if known else mark
