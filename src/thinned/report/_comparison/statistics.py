"""Means, paired differences and the choice among arms: pure functions on numbers."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from .student import critical_t, two_sided_p

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds; ``se`` is None where one seed gives none."""

    mean: float
    se: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """An arm minus the baseline, with its 95% interval and Holm's p over the arms.

    ``paired`` says whether the same seeds were subtracted from each other; otherwise it is
    Welch's comparison of two means. ``p``, ``low`` and ``high`` are None with one seed.
    """

    mean: float
    se: float | None = None
    n: int = 1
    low: float | None = None
    high: float | None = None
    p: float | None = None
    paired: bool = True

    @property
    def significant(self) -> bool:
        """Whether the difference would be a rare accident (p < 0.05)."""
        return self.p is not None and self.p < LEVEL


def estimate(values: Mapping[Hashable, float]) -> Estimate | None:
    """Mean and standard error over seeds, ``sd / sqrt(n)``.

    Example:
        >>> estimate({1: 1.0, 2: 2.0, 3: 3.0})
        Estimate(mean=2.0, se=0.577..., n=3)
    """
    if not values:
        return None
    mean, se = _mean_and_se(list(values.values()))
    return Estimate(mean=mean, se=se, n=len(values))


def difference(arm: Mapping[Hashable, float], base: Mapping[Hashable, float]) -> Difference | None:
    """The arm minus the baseline: over common seeds, or of the two means where there are none.

    Example:
        >>> d = difference({1: 0.9, 2: 1.9, 3: 2.6}, {1: 1.0, 2: 2.0, 3: 3.0})
        >>> round(d.mean, 3), round(d.se, 3), round(d.p, 3)
        (-0.2, 0.1, 0.184)
    """
    common = [seed for seed in arm if seed in base]
    if len(common) >= 2 or (common and (len(arm) < 2 or len(base) < 2)):
        mean, se = _mean_and_se([arm[seed] - base[seed] for seed in common])
        if se is None:
            return Difference(mean=mean)
        return _with_interval(Difference(mean=mean, se=se, n=len(common)), len(common) - 1)
    if not arm or not base:
        return None
    (a, a_se), (b, b_se) = _mean_and_se(list(arm.values())), _mean_and_se(list(base.values()))
    found = Difference(mean=a - b, n=min(len(arm), len(base)), paired=False)
    if a_se is None or b_se is None:
        return found
    freedom = _welch(a_se**2, len(arm), b_se**2, len(base))
    return _with_interval(replace(found, se=math.hypot(a_se, b_se)), freedom)


def holm(differences: Mapping[str, Difference | None]) -> dict[str, Difference | None]:
    """Raise the p of several comparisons to what it is worth among them (Holm 1979)."""
    known = sorted((d.p, name) for name, d in differences.items() if d and d.p is not None)
    adjusted: dict[str, Difference | None] = dict(differences)
    largest = 0.0
    for rank, (p, name) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        found = differences[name]
        if found is not None:
            adjusted[name] = replace(found, p=largest)
    return adjusted


def one_standard_error(
    arms: Sequence[Mapping[Hashable, float]], *, lower_is_better: bool = True
) -> list[int]:
    """Indices of the arms that are as good as the best one, to one standard error.

    The error is that of the arm's difference to the best over common seeds, since what a seed
    adds to both is no reason to prefer either; where no seeds are common, that of the best.

    Example:
        >>> one_standard_error([{1: 0.50, 2: 0.70}, {1: 0.40, 2: 0.62}, {1: 0.41, 2: 0.60}])
        [1, 2]
    """
    sign = 1.0 if lower_is_better else -1.0
    means = {i: sign * sum(arm.values()) / len(arm) for i, arm in enumerate(arms) if arm}
    if not means:
        return []
    best = min(means, key=means.__getitem__)
    best_se = _mean_and_se(list(arms[best].values()))[1]
    chosen = []
    for i, mean in means.items():
        found = difference(arms[i], arms[best]) if i != best else None
        paired = found is not None and found.paired and found.se is not None
        worse = sign * found.mean if found is not None and paired else mean - means[best]
        within = found.se if found is not None and paired else best_se
        if i == best or (within is not None and worse <= within):
            chosen.append(i)
    return chosen


def _mean_and_se(values: Sequence[float]) -> tuple[float, float | None]:
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    square = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(square / len(values))


def _welch(a: float, n_a: int, b: float, n_b: int) -> float:
    if a + b == 0.0:
        return float(n_a + n_b - 2)
    return (a + b) ** 2 / (a**2 / (n_a - 1) + b**2 / (n_b - 1))


def _with_interval(found: Difference, freedom: float) -> Difference:
    if found.se is None:
        return found
    half = critical_t(freedom, LEVEL) * found.se
    if found.se > 0.0:
        p = two_sided_p(found.mean / found.se, freedom)
    else:
        p = 1.0 if found.mean == 0.0 else 0.0
    return replace(found, low=found.mean - half, high=found.mean + half, p=p)
