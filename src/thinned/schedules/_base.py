"""What a schedule is: a pure function from progress to rate."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from thinned._checks import check_number


@dataclass(frozen=True)
class Schedule(ABC):
    r"""A pure function from progress to rate: what share of units is dropped, and when.

    Progress :math:`t` runs from 0, the first training batch, to 1, the last one. Past 1 every
    schedule stays where it was at 1, and below 0 where it was at 0. A schedule holds no counter
    and no state, so a resumed run has the rates of an uninterrupted one.

    To write one of your own, derive a frozen dataclass with ``__call__``; any function of
    progress works as well wherever a schedule is expected.

    Attributes:
        needs_progress: False where the rate ignores progress, so that the length of the training
            need not be known.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Quarter(Schedule):
        ...     rate: float
        ...
        ...     def __call__(self, progress):
        ...         return self.rate if progress < 0.25 else 0.0
        >>> [Quarter(0.4)(t) for t in (0.0, 0.25)]
        [0.4, 0.0]
    """

    needs_progress: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """Return the rate at ``progress``."""

    def plot(self, ax: Any = None) -> tuple[Any, Any]:
        """Draw rate against progress with matplotlib (the extra ``plot``).

        Args:
            ax: axes to draw into, so that several schedules can be compared; new ones if None.

        Returns:
            The figure and the axes.

        Raises:
            ModuleNotFoundError: if matplotlib is missing.
        """
        figure, ax = pyplot().subplots() if ax is None else (ax.figure, ax)
        points = [i / 1000 for i in range(1001)]
        ax.plot(points, [self(t) for t in points], label=repr(self))
        ax.set(xlabel="progress", ylabel="rate", xlim=(0, 1))
        ax.set_ylim(bottom=0)
        ax.legend()
        return figure, ax

    def _normalize(self, **values: Any) -> None:
        """Put checked values in the place of what the user gave (ints, lists, NumPy scalars)."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


def pyplot() -> Any:
    """Return ``matplotlib.pyplot``, or say what brings it."""
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as error:
        msg = "Expected matplotlib, which draws plots, got no such package: pip install "
        raise ModuleNotFoundError(f"{msg}'thinned[plot]'", name=error.name) from error
    return plt


def clip(progress: float) -> float:
    """Hold progress in [0, 1]; a NaN raises, since no rate would be right."""
    if type(progress) is float and 0.0 <= progress <= 1.0:  # at each step: no checks to pay for
        return progress
    number = check_number("progress", progress)
    return min(max(number, 0.0), 1.0)


def blend(start: float, end: float, weight: float) -> float:
    """Return the value between the two rates, never outside of them by rounding."""
    value = start + (end - start) * weight
    return min(max(value, min(start, end)), max(start, end))


def check_fraction(name: str, value: Any) -> float:
    """Return ``value`` if it is a share of the training, in [0, 1]."""
    hint = "It is a share of the whole training: 0.25 is after a quarter, whatever the epochs."
    return check_number(name, value, 0.0, 1.0, what="a progress", hint=hint)


def check_interval(begin: Any, until: Any) -> tuple[float, float]:
    """Return both ends of an interval of progress in which ``begin <= until``."""
    first, last = check_fraction("begin", begin), check_fraction("until", until)
    if first > last:
        msg = (
            f"Expected `begin` to be at most `until`, got begin={first!r}, until={last!r}. "
            "To make a rate fall, swap the rates `start` and `end`, not the times."
        )
        raise ValueError(msg)
    return first, last
