"""See, by a run, which of the layers that are about to be inserted can act."""

import contextlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from thinned.surgery._edits.changes import Hooked
from thinned.surgery._edits.inserted import AfterOutput, BeforeInput
from thinned.surgery._running.run_example import Arguments, evaluated, fresh, run_example

NOT_CALLED = (
    "a run on the example did not call it, or found no single floating-point tensor to drop in"
)
UNREAD = "in a run on the example nothing read what would be dropped there"
_PLAIN = (Tensor, int, float, complex, bool, str, type(None))


def acting(
    model: nn.Module, arguments: Arguments, hooks: Iterable[Hooked]
) -> tuple[list[Hooked], dict[str, str]]:
    """Return the hooks whose layer is called and whose result is read, and why others are not.

    The model runs in evaluation mode, and if something seems dead in training mode too: there it
    may call more.
    """
    hooks = list(hooks)
    probes = {hook: _Probe() for hook in hooks}
    with evaluated(model, arguments):
        _run(model, arguments, probes)
        if not all(probe.read for probe in probes.values()):
            for module in model.modules():
                module.training = True
            with contextlib.suppress(ValueError):  # batch norm refuses to train on one sample
                _run(model, arguments, probes)
    dead = {hook.path: UNREAD if p.made else NOT_CALLED for hook, p in probes.items() if not p.read}
    return [hook for hook in hooks if probes[hook].read], dead


class _Probe(nn.Module):
    """Stands in for a layer: hands on a copy of the tensor that it would drop in."""

    kind = "probe"

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Tensor] = []
        self.read = False

    def forward(self, x: Tensor) -> Tensor:
        self.made.append(x.clone())
        return self.made[-1]


class _Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Sees which probes' tensors an operation takes."""

    def __init__(self, probes: Iterable[_Probe]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._probes = list(probes)

    def note(self, values: Any) -> None:
        """Note the probes whose tensor is among these values."""
        taken = {id(value) for value in tree_leaves(values)}
        for probe in self._probes:
            probe.read = probe.read or any(id(tensor) in taken for tensor in probe.made)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.note((args, kwargs))
        return func(*args, **(kwargs or {}))


def _run(model: nn.Module, arguments: Arguments, probes: dict[Hooked, _Probe]) -> None:
    handles = []
    arguments = fresh(arguments)
    reads = _Reads(probes.values())
    try:
        for hooked, probe in probes.items():
            side: Any = AfterOutput if isinstance(hooked.hook, AfterOutput) else BeforeInput
            stand_in = side(probe)
            stand_in.training = True
            handles += stand_in.attach(hooked.host)
        with torch.no_grad(), reads:
            out = run_example(model, arguments)
    finally:
        for handle in handles:
            handle.remove()
    reads.note(out)
    if not all(isinstance(leaf, _PLAIN) for leaf in tree_leaves(out)):  # it may hold anything
        for probe in probes.values():
            probe.read = probe.read or bool(probe.made)
