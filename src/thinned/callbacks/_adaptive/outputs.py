"""The modules that may give a network's outputs, as far as they can be seen from outside."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from thinned.callbacks._probe.data import parts
from thinned.surgery._models.compiled import compiled_parts
from thinned.surgery._models.structure import WEIGHTED


def trained_layers(model: nn.Module) -> list[nn.Module]:
    """Return the trained layers of a model, in the order of registration."""
    return [
        module
        for module in model.modules()
        if isinstance(module, WEIGHTED)
        and any(parameter.requires_grad for parameter in module.parameters())
    ]


def seen_layers(model: nn.Module, layers: Iterable[nn.Module]) -> list[nn.Module]:
    """Return the layers of a model, and in place of those that run compiled what was compiled.

    A hook on a layer would be compiled with it, or not be called. Of a model whose steps Lightning
    has compiled nothing can be seen.
    """
    if getattr(model, "_compiler_ctx", None) is not None:
        return []
    inside = compiled_parts(model)
    return list(dict.fromkeys(inside.get(id(layer), layer) for layer in layers))


class Seen:
    """A forward hook on a module until `remove`, outside of its code if that is compiled.

    Args:
        module: one of `seen_layers`.
        hook: takes the module, its inputs and what it gave, and may return something else.
    """

    def __init__(self, module: nn.Module, hook: Callable[[nn.Module, Any, Any], Any]) -> None:
        self._module, self._compiled = module, module._compiled_call_impl
        if self._compiled is None:
            self._handle = module.register_forward_hook(hook)
            return

        def call(*inputs: Any, **named: Any) -> Any:
            given = compiled(*inputs, **named)
            other = hook(module, inputs, given)
            return given if other is None else other

        compiled = self._compiled  # in place: torch would compile the hook, and the rest anew
        module._compiled_call_impl = call

    def remove(self) -> None:
        """Leave the module as it was."""
        if self._compiled is None:
            self._handle.remove()
        else:
            self._module._compiled_call_impl = self._compiled


def outputs(given: Any) -> Tensor | None:
    """Return the numbers that a module gave: the first of them, if it gave several things."""
    held = parts(given)
    for each in [given] if held is None else held:
        if isinstance(each, Tensor) and each.dim() and each.is_floating_point():
            return each.detach()
    return None
