"""The same rate all along."""

from dataclasses import dataclass
from typing import ClassVar

from thinned._checks import check_rate

from ._base import Schedule


@dataclass(frozen=True)
class Constant(Schedule):
    r"""Hold one rate: :math:`p(t) = rate`.

    Args:
        rate: the rate, in [0, 1].

    Raises:
        ValueError: if the rate lies outside [0, 1] or is NaN.

    Example:
        >>> Constant(0.3)(0.5)
        0.3
    """

    needs_progress: ClassVar[bool] = False

    rate: float

    def __post_init__(self) -> None:
        """Check the rate."""
        self._normalize(rate=check_rate("rate", self.rate))

    def __call__(self, progress: float) -> float:  # noqa: ARG002  # the signature of a schedule
        """Return the rate."""
        return self.rate
