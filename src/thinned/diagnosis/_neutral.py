"""Run somebody's model and leave no trace, on modules that it keeps unregistered either."""

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from thinned.surgery._running import state


@contextlib.contextmanager
def untouched(model: nn.Module, hidden: Iterable[nn.Module], inputs: Any) -> Iterator[None]:
    """Put modes, buffers, attributes and all random generators back after the block.

    Warnings inside are not shown: the run is ours, not the user's. Compiled parts run eagerly.

    Args:
        model: the model that is going to run.
        hidden: modules that run with it and are registered nowhere in it.
        inputs: what it is going to be called with.
    """
    with contextlib.ExitStack() as stack:
        for root in (model, *hidden):
            stack.enter_context(state.untouched(root, inputs))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def hooked(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Take hooks away after the block."""
    registered = list(handles)
    try:
        yield
    finally:
        for handle in registered:
            handle.remove()
