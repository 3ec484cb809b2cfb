"""Up and down again, several times."""

import math
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from thinned._checks import check_choice, check_number, check_rate

from ._base import Schedule, blend, clip


@dataclass(frozen=True)
class Cyclic(Schedule):
    r"""Swing between two rates.

    .. math::
        p(t) = low + (high - low)\,w(u), \quad u = (cycles \cdot t) \bmod 1, \quad
        w(u) = \begin{cases}
            1 - |2u - 1| & \text{triangle} \\
            (1 - \cos 2 \pi u) / 2 & \text{cosine}
        \end{cases}

    Every cycle begins and ends at ``low`` and is at ``high`` in its middle; so the training begins
    and ends at ``low``.

    Args:
        low: rate at the ends of each cycle, in [0, 1].
        high: rate in the middle of each cycle, in [0, 1], at least ``low``.
        cycles: how many cycles the training has, a whole number from 1 on.
        shape: ``"triangle"`` (straight lines) or ``"cosine"`` (no kinks).

    Raises:
        ValueError: if a rate lies outside [0, 1], ``low > high``, ``cycles`` is not a whole number
            from 1 on, or ``shape`` is unknown.

    Example:
        >>> schedule = Cyclic(0.1, 0.5, cycles=2)
        >>> [schedule(t) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
        [0.1, 0.5, 0.1, 0.5, 0.1]
    """

    low: float
    high: float
    _: KW_ONLY
    cycles: int = 4
    shape: Literal["triangle", "cosine"] = "triangle"

    def __post_init__(self) -> None:
        """Check rates, number of cycles and shape."""
        low, high = check_rate("low", self.low), check_rate("high", self.high)
        if low > high:
            msg = f"Expected `low` to be at most `high`, got low={low!r}, high={high!r}. Swap them."
            raise ValueError(msg)
        cycles = check_number("cycles", self.cycles, 1, 1_000_000, what="a whole number")
        if cycles != int(cycles):
            msg = f"Expected `cycles` to be a whole number, got {self.cycles!r}. Round it."
            raise ValueError(msg)
        check_choice("shape", self.shape, ("triangle", "cosine"))
        self._normalize(low=low, high=high, cycles=int(cycles))

    def __call__(self, progress: float) -> float:
        """Return the rate at ``progress``."""
        share = (clip(progress) * self.cycles) % 1.0
        if self.shape == "triangle":
            weight = 1 - abs(2 * share - 1)
        else:
            weight = (1 - math.cos(2 * math.pi * share)) / 2
        return blend(self.low, self.high, weight)
