"""Taking over another layer's parameters, so that no key, optimizer state or weight moves."""

from typing import TypeVar

from torch import nn

from thinned.layers._rate import RateLayer

Source = TypeVar("Source", bound=nn.Module)
Made = TypeVar("Made", bound=RateLayer)


def require_class(cls: type[nn.Module], module: nn.Module, expected: type[Source]) -> Source:
    """Return ``module`` if it is exactly an ``expected`` (or already a ``cls``), else raise."""
    if isinstance(module, expected) and type(module) in (expected, cls):
        return module
    msg = (
        f"{cls.__name__} takes the place of nn.{expected.__name__}, got {type(module).__name__}. "
        "A subclass may compute more than this variant would."
    )
    raise TypeError(msg)


def share_parameters(made: Made, source: nn.Module) -> Made:
    """Give ``made`` the very parameters and buffers of ``source``, its mode and the rate's device.

    ``made`` should have been built on the meta device: then no memory was spent, and no random
    number was drawn.
    """
    for name, parameter in source._parameters.items():  # one that has two names, under both
        if parameter is not None:
            setattr(made, name, parameter)
    made._buffers.update(source._buffers)
    return made.adopt(source)
