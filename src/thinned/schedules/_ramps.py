"""From one rate to another, along a curve."""

import math
from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass

from thinned._checks import check_number, check_rate

from ._base import Schedule, blend, check_interval, clip


@dataclass(frozen=True)
class Ramp(Schedule):
    r"""What the ramps share: hold ``start``, move along a curve, hold ``end``.

    .. math::
        p(t) = \begin{cases}
            start & t \le begin \\
            start + (end - start)\,w(u) & begin < t < until \\
            end & t \ge until
        \end{cases}
        \quad u = \frac{t - begin}{until - begin}

    where the curve :math:`w` rises from 0 to 1. With ``begin == until`` it is a jump: ``end``
    from there on.
    """

    start: float
    end: float
    _: KW_ONLY
    begin: float = 0.0
    until: float = 1.0

    def __post_init__(self) -> None:
        """Check rates and interval."""
        begin, until = check_interval(self.begin, self.until)
        start, end = check_rate("start", self.start), check_rate("end", self.end)
        self._normalize(start=start, end=end, begin=begin, until=until)

    def __call__(self, progress: float) -> float:
        """Return the rate at ``progress``."""
        t = clip(progress)
        if t >= self.until:
            return self.end
        if t <= self.begin:
            return self.start
        share = (t - self.begin) / (self.until - self.begin)
        return blend(self.start, self.end, self._curve(share))

    @abstractmethod
    def _curve(self, share: float) -> float:
        """Return how far from ``start`` to ``end`` the rate is, in [0, 1]."""


@dataclass(frozen=True)
class Linear(Ramp):
    r"""Move from one rate to another in a straight line: :math:`w(u) = u`.

    The rate is ``start`` up to ``begin``, half-way between the rates half-way between the times,
    and ``end`` from ``until`` on.

    Args:
        start: rate at first, in [0, 1].
        end: rate at last, in [0, 1].
        begin: progress at which the rate starts to move, in [0, 1].
        until: progress from which it is ``end``, in [0, 1], at least ``begin``.

    Raises:
        ValueError: if a rate lies outside [0, 1] or ``begin > until``.

    Example:
        >>> schedule = Linear(0.0, 0.4, begin=0.25, until=0.75)
        >>> [schedule(t) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
        [0.0, 0.0, 0.2, 0.4, 0.4]
    """

    def _curve(self, share: float) -> float:
        return share


@dataclass(frozen=True)
class Cosine(Ramp):
    r"""Move from one rate to another along half a cosine: :math:`w(u) = (1 - \cos \pi u) / 2`.

    The rate is ``start`` up to ``begin``, leaves it and arrives at ``end`` without a kink, and is
    ``end`` from ``until`` on.

    Args:
        start: rate at first, in [0, 1].
        end: rate at last, in [0, 1].
        begin: progress at which the rate starts to move, in [0, 1].
        until: progress from which it is ``end``, in [0, 1], at least ``begin``.

    Raises:
        ValueError: if a rate lies outside [0, 1] or ``begin > until``.

    Example:
        >>> schedule = Cosine(0.4, 0.0)
        >>> [round(schedule(t), 3) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
        [0.4, 0.341, 0.2, 0.059, 0.0]
    """

    def _curve(self, share: float) -> float:
        return (1 - math.cos(math.pi * share)) / 2


@dataclass(frozen=True)
class Exponential(Ramp):
    r"""Move quickly at first, then ever more slowly.

    .. math:: w(u) = \frac{1 - e^{-k u}}{1 - e^{-k}}, \quad k = steepness

    The distance to ``end`` shrinks by the same factor in equal times, and the curve is scaled so
    that ``end`` is reached exactly, which also lets either rate be 0. The rate is ``start`` up to
    ``begin`` and ``end`` from ``until`` on.

    Args:
        start: rate at first, in [0, 1].
        end: rate at last, in [0, 1].
        begin: progress at which the rate starts to move, in [0, 1].
        until: progress from which it is ``end``, in [0, 1], at least ``begin``.
        steepness: how fast it starts, in (0, 1000]; near 0 the curve is a straight line.

    Raises:
        ValueError: if a rate lies outside [0, 1] or ``begin > until``.

    Example:
        >>> schedule = Exponential(0.0, 0.5)
        >>> [round(schedule(t), 3) for t in (0.0, 0.2, 0.5, 1.0)]
        [0.0, 0.318, 0.462, 0.5]
    """

    _: KW_ONLY
    steepness: float = 5.0

    def __post_init__(self) -> None:
        """Check rates, interval and steepness."""
        super().__post_init__()
        self._normalize(steepness=check_number("steepness", self.steepness, 1e-6, 1e3))

    def _curve(self, share: float) -> float:
        return math.expm1(-self.steepness * share) / math.expm1(-self.steepness)


@dataclass(frozen=True)
class Polynomial(Ramp):
    r"""Move along a power: :math:`w(u) = u^{power}`.

    The rate is ``start`` up to ``begin`` and ``end`` from ``until`` on. A power above 1 moves late,
    below 1 early, and 1 is :class:`Linear`.

    Args:
        start: rate at first, in [0, 1].
        end: rate at last, in [0, 1].
        begin: progress at which the rate starts to move, in [0, 1].
        until: progress from which it is ``end``, in [0, 1], at least ``begin``.
        power: the exponent, in (0, 100].

    Raises:
        ValueError: if a rate lies outside [0, 1] or ``begin > until``.

    Example:
        >>> schedule = Polynomial(0.0, 0.4, power=2)
        >>> [round(schedule(t), 3) for t in (0.0, 0.5, 1.0)]
        [0.0, 0.1, 0.4]
    """

    _: KW_ONLY
    power: float = 2.0

    def __post_init__(self) -> None:
        """Check rates, interval and power."""
        super().__post_init__()
        self._normalize(power=check_number("power", self.power, 1e-6, 100.0))

    def _curve(self, share: float) -> float:
        return float(share**self.power)
