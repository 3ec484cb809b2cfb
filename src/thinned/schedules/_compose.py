"""Schedules made of schedules."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from ._base import Schedule, check_fraction, clip
from ._coerce import as_schedule
from ._steps import check_filled, check_times


@dataclass(frozen=True)
class Warmup(Schedule):
    r"""Let another schedule's rate grow from 0 first.

    .. math:: p(t) = \min(1, t / until) \cdot schedule(t)

    At progress 0 the rate is 0, at ``until`` and after it is the schedule's own.

    Args:
        schedule: what is warmed up: a rate, a name, a schedule or a function of progress.
        until: progress from which the schedule holds, in [0, 1]; 0 is no warm-up.

    Raises:
        ValueError: if ``until`` lies outside [0, 1], or the schedule's own arguments are wrong.

    Example:
        >>> [Warmup(0.4, until=0.5)(t) for t in (0.0, 0.25, 0.5, 1.0)]
        [0.0, 0.2, 0.4, 0.4]
    """

    schedule: Any
    _: KW_ONLY
    until: float = 0.1

    def __post_init__(self) -> None:
        """Make a schedule of what was given."""
        until = check_fraction("until", self.until)
        self._normalize(schedule=as_schedule(self.schedule), until=until)

    def __call__(self, progress: float) -> float:
        """Return the rate at ``progress``."""
        t = clip(progress)
        rate = float(self.schedule(t))
        return rate if t >= self.until else rate * (t / self.until)


@dataclass(frozen=True)
class Sequence(Schedule):
    r"""Run one schedule after another, each over its own part of the training.

    .. math:: p(t) = schedules_i\!\left(\frac{t - at_{i-1}}{at_i - at_{i-1}}\right), \quad
        at_{i-1} \le t < at_i, \quad at_{-1} = 0, \quad at_{last} = 1

    Each schedule sees its part as the whole training, from 0 to 1. A time belongs to the schedule
    that begins there, so the one before it comes close to its end without showing it; the last
    one ends at progress 1.

    Args:
        schedules: what is run: rates, names, schedules or functions of progress.
        at: progress at which the next one begins, rising, between 0 and 1 (both excluded); one
            fewer than the schedules.

    Raises:
        ValueError: if the times do not rise, lie outside (0, 1), or are not one fewer.

    Example:
        >>> from thinned.schedules import Linear
        >>> schedule = Sequence((Linear(0.0, 0.4), 0.1), at=(0.5,))
        >>> [schedule(t) for t in (0.0, 0.25, 0.5, 1.0)]
        [0.0, 0.2, 0.1, 0.1]
    """

    schedules: tuple[Any, ...]
    _: KW_ONLY
    at: tuple[float, ...]

    def __post_init__(self) -> None:
        """Make schedules of what was given, and check the times."""
        items = check_filled("schedules", self.schedules, "(0.3, Linear(0.3, 0.0))")
        times = check_times(self.at, len(items) - 1, "one fewer than")
        if times and not (times[0] > 0 and times[-1] < 1):
            msg = (
                f"Expected `at` to lie between 0 and 1, both excluded, got {times!r}. "
                "A schedule that begins at 1 would never run; leave it out."
            )
            raise ValueError(msg)
        self._normalize(schedules=tuple(as_schedule(item) for item in items), at=times)

    def __call__(self, progress: float) -> float:
        """Return the rate at ``progress``."""
        t = clip(progress)
        index = sum(t >= time for time in self.at)
        begin, until = (0.0, *self.at)[index], (*self.at, 1.0)[index]
        return float(self.schedules[index]((t - begin) / (until - begin)))
