"""Random numbers on the side: draw some, and leave every global generator as it was."""

import contextlib
import copy
import functools
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any


@contextlib.contextmanager
def generators_kept(
    seed: int | None = None, devices: Sequence[int] | None = None
) -> Iterator[None]:
    """Put the generators of Python, numpy (where somebody uses it) and torch back when done.

    Args:
        seed: seed all of them for the time inside; None lets them go on from where they are.
        devices: the CUDA devices whose generators are meant; None for all.

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
    with torch.random.fork_rng(devices):
        if seed is not None:
            seed_everything(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            if numpy:
                numpy.random.set_state(numpy_state)


def rewind(value: Any) -> Callable[[], object] | None:
    """Return what puts a generator back to where it is now; None for what is no generator.

    Example:
        >>> generator = random.Random(0)
        >>> back = rewind(generator)
        >>> first = generator.random()
        >>> back()
        >>> generator.random() == first
        True
    """
    import torch

    numpy: Any = sys.modules.get("numpy")
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return functools.partial(value.setstate, value.getstate())
    if isinstance(value, torch.Generator) or (
        numpy and isinstance(value, numpy.random.RandomState)
    ):
        return functools.partial(value.set_state, value.get_state())
    if numpy and isinstance(value, numpy.random.Generator):
        value = value.bit_generator
    if numpy and isinstance(value, numpy.random.BitGenerator):
        return functools.partial(setattr, value, "state", copy.deepcopy(value.state))
    return None


def seed_everything(seed: int) -> None:
    """Seed torch, Python and, where somebody uses it, numpy."""
    import torch

    torch.manual_seed(seed)
    random.seed(seed)
    numpy: Any = sys.modules.get("numpy")
    if numpy:
        numpy.random.seed(seed % 2**32)
