"""Whatever a user may write where a schedule is expected."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from thinned._checks import check_rate

from ._base import Schedule, clip
from ._constant import Constant

DEFAULT_RATE = 0.1


@dataclass(frozen=True)
class Function(Schedule):
    """A schedule made of any function of progress.

    The function must be pure: the same progress gives the same rate, or a resumed run would differ.
    It is tried at progress 0 and 1 at once, so that a wrong one fails before the first step.

    Args:
        function: takes progress in [0, 1] and returns a rate in [0, 1].

    Raises:
        TypeError: if the function cannot be called with one number or returns no number.
        ValueError: if it returns something outside [0, 1].

    Example:
        >>> Function(lambda t: 0.5 * t * t)(0.5)
        0.125
    """

    function: Callable[[float], float]

    def __repr__(self) -> str:
        """Name the function, without its address: two runs of one schedule read the same."""
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        return f"Function({name.rpartition('<locals>.')[2]})"

    def __post_init__(self) -> None:
        """Try the function at both ends."""
        if not _takes_one(self.function):
            msg = (
                "Expected `schedule` to be a function of one number, progress, got "
                f"{self.function!r}. Write lambda t: 0.3 * t."
            )
            raise TypeError(msg)
        self(0.0)
        self(1.0)

    def __call__(self, progress: float) -> float:
        """Return the function's rate at ``progress``."""
        t = clip(progress)
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return check_rate(f"{name}({t:g})", self.function(t))


def _takes_one(function: Callable[..., Any]) -> bool:
    """Say whether a function can be called with one argument; some of C do not tell."""
    try:
        inspect.signature(function).bind(0.0)
    except ValueError:
        return True
    except TypeError:
        return False
    return True


def as_schedule(value: Any, *, rate: float = DEFAULT_RATE) -> Schedule:
    """Make a schedule of a rate, a name, a schedule or a function of progress.

    Args:
        value: a number is a :class:`Constant`; a name is one of :data:`SCHEDULES`, which goes to or
            holds ``rate`` with its other arguments at their defaults; a schedule is returned as it
            is; any other callable is a function of progress.
        rate: what a name's schedule goes to, in [0, 1].

    Raises:
        TypeError: if ``value`` is none of these, or a name whose schedule needs more than a rate.
        ValueError: if a rate lies outside [0, 1] or a name is unknown.

    Example:
        >>> as_schedule(0.3)
        Constant(rate=0.3)
        >>> as_schedule("linear", rate=0.5)
        Linear(start=0.0, end=0.5, begin=0.0, until=1.0)
    """
    # Late, since the registry lists the schedules that are made of schedules by this function.
    from ._registry import from_name
    from ._unbuilt import build, class_path

    if isinstance(value, Schedule):
        return value
    if isinstance(value, str):
        return from_name(value, check_rate("rate", rate))
    if isinstance(value, type) and issubclass(value, Schedule):
        msg = (
            f"Expected `schedule` to be a schedule, got the class {value.__name__}. "
            f"Give it its rates: {value.__name__}(...)."
        )
        raise TypeError(msg)
    if class_path(value) is not None:
        return build(value)
    if callable(value):
        return Function(value)
    if hasattr(value, "__float__") and not isinstance(value, bool):
        return Constant(check_rate("schedule", value))
    msg = (
        "Expected `schedule` to be a rate, a name, a schedule or a function of progress, "
        f"got {value!r}. Write 0.1, 'linear', Linear(0.0, 0.3) or lambda t: 0.3 * t."
    )
    raise TypeError(msg)
