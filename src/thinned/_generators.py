"""Random generators of all libraries: their states read and put back, and draws on the side."""

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
    numpy: Any = sys.modules.get("numpy")
    if numpy and isinstance(value, numpy.random.BitGenerator):
        value = numpy.random.Generator(value)  # which draws from it, and keeps its state there
    if not is_generator(value):
        return None
    return functools.partial(set_generator_state, value, generator_state(value))


def is_generator(value: Any) -> bool:
    """Say whether ``value`` is a random number generator whose state can be kept."""
    import torch

    numpy: Any = sys.modules.get("numpy")
    kinds = (numpy.random.Generator, numpy.random.RandomState) if numpy else ()
    known = isinstance(value, (random.Random, torch.Generator, *kinds))
    return known and not isinstance(value, random.SystemRandom)  # which has no state


def generator_state(generator: Any) -> Any:
    """Return a copy of a generator's state."""
    if isinstance(generator, random.Random):
        return generator.getstate()
    if hasattr(generator, "get_state"):  # torch's, and numpy's of old
        return generator.get_state()
    return copy.deepcopy(generator.bit_generator.state)


def set_generator_state(generator: Any, state: Any) -> None:
    """Put a generator back into a state that `generator_state` gave."""
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif hasattr(generator, "set_state"):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state


def seed_everything(seed: int) -> None:
    """Seed torch, Python and, where somebody uses it, numpy."""
    import torch

    torch.manual_seed(seed)
    random.seed(seed)
    numpy: Any = sys.modules.get("numpy")
    if numpy:
        numpy.random.seed(seed % 2**32)
