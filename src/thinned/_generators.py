"""Random numbers on the side: draw some, and leave every global generator as it was."""

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def generators_kept(seed: int | None = None) -> Iterator[None]:
    """Put the generators of Python, numpy and torch (all devices) back when done.

    Args:
        seed: seed all of them for the time inside; None lets them go on from where they are.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> with generators_kept(seed=7):
        ...     _ = torch.rand(3)
        >>> torch.rand(1)  # as if nothing had been drawn
        tensor([0.4963])
    """
    import torch

    numpy: Any = sys.modules.get("numpy")
    python_state = random.getstate()
    numpy_state = numpy.random.get_state() if numpy else None
    with torch.random.fork_rng():
        if seed is not None:
            random.seed(seed)
            torch.manual_seed(seed)
            if numpy:
                numpy.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(python_state)
            if numpy:
                numpy.random.set_state(numpy_state)
