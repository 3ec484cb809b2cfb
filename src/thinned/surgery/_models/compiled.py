"""Which parts of a model run compiled, and in how few values a rate may move there."""

import weakref
from collections.abc import Iterable

from torch import nn
from torch._dynamo import config as dynamo_config

from thinned._checks import check_rate


def compiled_parts(model: nn.Module) -> dict[int, nn.Module]:
    """Return the id of every module that runs compiled, and the compiled module it belongs to."""
    found: dict[int, nn.Module] = {}
    for module in model.modules():
        if is_compiled(module):
            for part in module.modules():
                found.setdefault(id(part), module)
    return found


def is_compiled(module: nn.Module) -> bool:
    """Say whether a module itself was compiled: wrapped, in place, or by Lightning."""
    return (
        hasattr(module, "_orig_mod")
        or getattr(module, "_compiled_call_impl", None) is not None
        or getattr(module, "_compiler_ctx", None) is not None  # Lightning has unwrapped it
    )


def burnt_in(owner: object) -> bool:
    """Say whether compiled code would burn in this owner's rate.

    It would not for our layers and hooks, nor for a recurrent layer, which torch runs eagerly.
    """
    return not hasattr(type(owner), "kind") and not isinstance(owner, nn.RNNBase)


class Levels:
    """The few values that a rate takes in compiled code.

    There a rate that is held as a Python float is burnt into the graph: each new value compiles
    anew, and torch gives up (it runs eagerly from then on, silently) after ``recompile_limit``
    graphs. A model that is validated between needs two graphs a value, and two more for the sanity
    check at the rate it came with and for batches of another size. So one less than half of the
    limit is how many values are taken, what is asked for is set to the nearest, and 0 is always
    among them.

    Args:
        first: the rate at which the model was found.
    """

    def __init__(self, first: float) -> None:
        self.values = [first]
        self.planned = False

    @property
    def most(self) -> int:
        """How many values there may be."""
        return max(2, int(dynamo_config.recompile_limit) // 2 - 1)

    @property
    def gap(self) -> float:
        """How far apart unplanned values are: a slow schedule must not use them up at once."""
        return 0.4 / self.most

    def plan(self, rates: Iterable[float]) -> None:
        """Fix the values beforehand, as somebody can who knows the schedule.

        Raises:
            ValueError: if there are more of them than :attr:`most`.
        """
        wanted = sorted({check_rate("rates", rate) for rate in rates})
        if len(wanted) > self.most:
            msg = f"Expected at most {self.most} rates for a compiled model, got {len(wanted)}."
            raise ValueError(msg)
        self.values, self.planned = wanted, True

    def nearest(self, rate: float) -> float:
        """Return the value to set where ``rate`` is asked for."""
        near = min(self.values, key=lambda value: abs(value - rate))
        if self.planned or abs(near - rate) < 1e-9:
            return near
        room = self.most - len(self.values) - (0.0 not in self.values)  # one is kept for 0
        if rate == 0.0 or (room > 0 and abs(near - rate) > self.gap - 1e-9):
            self.values.append(rate)
            return rate
        return near


_LEVELS: "weakref.WeakKeyDictionary[nn.Module, dict[tuple[int, str], Levels]]" = (
    weakref.WeakKeyDictionary()
)


def levels_for(compiled: nn.Module, key: tuple[int, str], rate: float) -> Levels:
    """Return the levels of a site below a compiled module: the same ones at each call."""
    return _LEVELS.setdefault(compiled, {}).setdefault(key, Levels(rate))
