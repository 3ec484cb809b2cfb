"""Rates at given times: in jumps, or joined by straight lines."""

import itertools
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Any

from thinned._checks import check_rate

from ._base import Schedule, blend, check_fraction, clip


@dataclass(frozen=True)
class Step(Schedule):
    r"""Hold one rate after another, with jumps between.

    .. math:: p(t) = rates_i, \quad i = \#\{j : t \ge at_j\}

    Before the first time the rate is the first one; a time already has the rate that follows it;
    after the last time the rate is the last one.

    Args:
        rates: the rates, each in [0, 1].
        at: progress at each jump, rising, in [0, 1]; one fewer than the rates.

    Raises:
        ValueError: if a rate lies outside [0, 1], or the times do not rise or are not one fewer.

    Example:
        >>> schedule = Step((0.1, 0.3, 0.0), at=(0.5, 0.9))
        >>> [schedule(t) for t in (0.0, 0.49, 0.5, 0.9, 1.0)]
        [0.1, 0.1, 0.3, 0.0, 0.0]
    """

    rates: tuple[float, ...]
    _: KW_ONLY
    at: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check rates and times."""
        rates = check_rates(self.rates)
        self._normalize(rates=rates, at=check_times(self.at, len(rates) - 1, "one fewer than"))

    def __call__(self, progress: float) -> float:
        """Return the rate at ``progress``."""
        t = clip(progress)
        return self.rates[sum(t >= time for time in self.at)]


@dataclass(frozen=True)
class Piecewise(Schedule):
    r"""Join rates at given times by straight lines.

    .. math::
        p(t) = rates_i + (rates_{i+1} - rates_i)\,\frac{t - at_i}{at_{i+1} - at_i},
        \quad at_i \le t < at_{i+1}

    Before the first time the rate is the first one, after the last time the last one.

    Args:
        rates: the rates, each in [0, 1].
        at: progress at which each rate holds, rising, in [0, 1]; as many as the rates.

    Raises:
        ValueError: if a rate lies outside [0, 1], or the times do not rise or are not as many.

    Example:
        >>> schedule = Piecewise((0.0, 0.5, 0.1), at=(0.0, 0.5, 1.0))
        >>> [schedule(t) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
        [0.0, 0.25, 0.5, 0.3, 0.1]
    """

    rates: tuple[float, ...]
    _: KW_ONLY
    at: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check rates and times."""
        rates = check_rates(self.rates)
        self._normalize(rates=rates, at=check_times(self.at, len(rates), "as many as"))

    def __call__(self, progress: float) -> float:
        """Return the rate at ``progress``."""
        t = clip(progress)
        passed = sum(t >= time for time in self.at)
        if passed == 0:
            return self.rates[0]
        if passed == len(self.at):
            return self.rates[-1]
        before, after = self.at[passed - 1], self.at[passed]
        share = (t - before) / (after - before)
        return blend(self.rates[passed - 1], self.rates[passed], share)


def check_rates(rates: Any) -> tuple[float, ...]:
    """Return the rates as a tuple, if there is at least one and each is a rate."""
    items = check_filled("rates", rates, "(0.1, 0.3)")
    return tuple(check_rate(f"rates[{i}]", rate) for i, rate in enumerate(items))


def check_times(times: Any, count: int, relation: str) -> tuple[float, ...]:
    """Return the times as a tuple, if they rise and are ``count``."""
    items = check_items("at", times, "(0.5,)")
    if len(items) != count:
        msg = (
            f"Expected `at` to have {count} times, {relation} what they separate or place, "
            f"got {len(items)}: {tuple(items)!r}. Add or remove a time."
        )
        raise ValueError(msg)
    checked = tuple(check_fraction(f"at[{i}]", time) for i, time in enumerate(items))
    if any(after <= before for before, after in itertools.pairwise(checked)):
        msg = f"Expected `at` to rise from one time to the next, got {checked!r}. Sort the times."
        raise ValueError(msg)
    return checked


def check_filled(name: str, value: Any, example: str) -> tuple[Any, ...]:
    """Return ``value`` as a tuple if it is a collection with something in it."""
    items = check_items(name, value, example)
    if not items:
        msg = f"Expected `{name}` to hold something, got {value!r}. Write {name}={example}."
        raise ValueError(msg)
    return items


def check_items(name: str, value: Any, example: str) -> tuple[Any, ...]:
    """Return ``value`` as a tuple if it is a collection, and no text."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        msg = f"Expected `{name}` to be a list or tuple, got {value!r}. Write {name}={example}."
        raise TypeError(msg)
    return tuple(value)
