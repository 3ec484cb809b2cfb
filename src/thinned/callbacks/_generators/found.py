"""Random generators of all libraries: found in what keeps them, their states read and put back."""

import contextlib
import random
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thinned._generators import (
    generator_state,
    is_generator,
    seed_everything,
    set_generator_state,
)

Generators = list[tuple[Any, Any]]

#: What holds no generator and needs no copy.
ATOMS = (
    *(str, bytes, int, float, complex, bool, type(None), type, torch.dtype, torch.device),
    *(types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType),
)


@contextlib.contextmanager
def isolated(seed: int, *holders: Any) -> Iterator[None]:
    """Seed Python's, numpy's and torch's generators, and put them back afterwards.

    Args:
        seed: seed inside, so that the probe is the same at each validation.
        *holders: data sets and other objects; generators that they keep are put back too.
    """
    found = [g for holder in holders for g in find_generators(holder)]
    kept = [(g, generator_state(g)) for g in found]
    python, array = random.getstate(), np.random.get_state()
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    cpu = torch.get_rng_state()
    seed_everything(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(array)
        torch.set_rng_state(cpu)
        if on_gpu:
            torch.cuda.set_rng_state_all(on_gpu)
        for generator, state in kept:
            set_generator_state(generator, state)


@contextlib.contextmanager
def generators_as_of(states: Generators) -> Iterator[None]:
    """Set generators to earlier states, and back afterwards."""
    now = [(g, generator_state(g)) for g, _ in states]
    try:
        for generator, state in states:
            set_generator_state(generator, state)
        yield
    finally:
        for generator, state in now:
            set_generator_state(generator, state)


def find_generators(holder: Any, limit: int = 10_000) -> list[Any]:
    """Find the generators that an object keeps: in its attributes, in those of its parts, ...

    Args:
        holder: a data set, with its transforms and the data sets that it wraps.
        limit: objects looked at; a data set may keep its samples in a list of millions.
    """
    found: list[Any] = []
    seen: set[int] = set()
    todo: deque[Any] = deque([holder])
    while todo and len(seen) < limit:
        value = todo.popleft()
        if id(value) in seen or isinstance(value, (*ATOMS, Tensor, np.ndarray)):
            continue
        seen.add(id(value))
        if is_generator(value):
            found.append(value)
        elif isinstance(value, dict):
            todo.extend(value.values())
        elif isinstance(value, list | tuple | set | deque):
            todo.extend(list(value)[:1000])
        elif hasattr(value, "__dict__"):
            todo.extend(vars(value).values())
    return found
