"""Run somebody's model and leave no trace: not on it, and not on any random generator."""

import contextlib
import random
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def untouched(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Put back all that forwards may change in ``modules``: modes, buffers, attributes, hooks.

    Generators of torch (CPU, and the devices in use), numpy and Python are put back too, and
    warnings inside are not shown: the run is ours, not the user's.

    Args:
        modules: every module that may run, with those that are registered nowhere.
    """
    kept = [_Snapshot(module) for module in modules]
    devices = {t.device.index or 0 for k in kept for t in k.tensors if t.device.type == "cuda"}
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy else None
    python_state = random.getstate()
    try:
        with (
            warnings.catch_warnings(),
            torch.random.fork_rng(devices=sorted(devices)),
            torch.no_grad(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for snapshot in kept:
            snapshot.restore()
        random.setstate(python_state)
        if numpy and numpy_state is not None:
            numpy.random.set_state(numpy_state)


class _Snapshot:
    """What a module holds: attributes by identity, containers and tensors also by content.

    Parameters are not copied: no forward writes into them, and they may be large.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.attributes = dict(vars(module))
        self.contents = {
            name: value.copy()
            for name, value in self.attributes.items()
            if isinstance(value, dict | list | set)
        }
        held = [*module.buffers(recurse=False)]
        held += [value for value in self.attributes.values() if isinstance(value, Tensor)]
        self.values = [(tensor, tensor.detach().clone()) for tensor in held]
        self.tensors: list[Tensor] = [*module.parameters(recurse=False), *held]

    def restore(self) -> None:
        held = vars(self.module)
        for name in [name for name in held if name not in self.attributes]:
            del held[name]
        held.update(self.attributes)
        for name, content in self.contents.items():
            _refill(self.attributes[name], content)
        with torch.no_grad():
            for tensor, value in self.values:
                if not torch.equal(tensor, value):
                    tensor.copy_(value)


def _refill(container: Any, content: Any) -> None:
    """Give a container its former content, and stay the same object."""
    container.clear()
    if isinstance(container, list):
        container.extend(content)
    else:
        container.update(content)
