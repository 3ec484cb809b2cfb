"""The onset: found where it is, not before there is evidence, and seldom where there is none."""

import random

import pytest

from thinned.metrics import onset
from thinned.metrics._onset import _cost_of_falling, _noise


def noise(size, lasting, scale, seed):
    """Noise whose neighbours resemble each other, as those of a validation curve do."""
    draw = random.Random(seed)
    now, found = draw.gauss(0, scale), []
    for _ in range(size):
        now = lasting * now + (1 - lasting**2) ** 0.5 * draw.gauss(0, scale)
        found.append(now)
    return found


def curve(size, turn, slope, seed=0, scale=0.02, lasting=0.5):
    """A loss that falls up to the epoch ``turn`` and rises by ``slope`` an epoch after it."""
    fall = [0.5 + 1.5 * 0.8**e for e in range(size)]
    rise = [slope * max(0, e - turn) for e in range(size)]
    bumps = noise(size, lasting, scale, seed)
    return [f + r + b for f, r, b in zip(fall, rise, bumps, strict=True)]


@pytest.mark.parametrize("size", [10, 30, 100])
@pytest.mark.parametrize("shape", ["flat", "falling"])
@pytest.mark.parametrize("lasting", [0.0, 0.5])
def test_false_alarms_are_below_5_percent(size, shape, lasting):
    base = [1.0 + (shape == "falling") * 2.0 * 0.9**e for e in range(size)]
    found = 0
    for seed in range(200):
        bumps = noise(size, lasting, 0.02, seed)
        found += onset([b + n for b, n in zip(base, bumps, strict=True)]) is not None
    assert found <= 0.05 * 200


@pytest.mark.parametrize("turn", [15, 25])
def test_a_rise_is_found_within_its_interval(turn):
    inside, near, found = 0, 0, 0
    for seed in range(100):
        since = onset(curve(50, turn, 0.03, seed))
        if since is not None:
            found += 1
            near += abs(since.epoch - turn) <= 6
            inside += since.earliest <= turn <= since.latest
    assert found >= 95
    assert near >= 0.9 * found
    assert inside >= 0.8 * found


def test_it_waits_for_evidence():
    """Not at the first bad epochs, and at once when it is plain."""
    values = curve(60, 20, 0.03, seed=3)
    when = [end for end in range(1, 61) if onset(values[:end]) is not None]
    assert when[0] >= 20 + 3
    assert when[0] < 45
    assert when[-1] == 60


def test_rise_and_order():
    since = onset([3.0, 2.0, 1.0, 1.5, 1.8, 2.0, 2.0, 2.1])
    assert (since.epoch, since.earliest, since.latest) == (2, 1, 2)
    assert since.rise == pytest.approx(2.0 / 1.5 - 1.0)  # medians of three, so 2.0 and 1.5
    assert since.evidence > 80


def test_epochs_are_those_given():
    values = [3.0, 2.0, 1.0, 1.5, 1.8, 2.0, 2.0, 2.1]
    assert onset(values, range(5, 85, 10)).epoch == 25
    with pytest.raises(ValueError, match="as many `epochs` as `errors`"):
        onset(values, [1, 2])


@pytest.mark.parametrize(
    "values",
    [
        *([], [1.0], [1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 20),
        [5.0 - 0.1 * e for e in range(20)],
        [1.0, 1.0, float("nan"), 2.0, 3.0, 4.0, 5.0, 6.0],
        [1.0] * 10 + [1.01] * 10,  # rises by less than is worth a name
    ],
)
def test_none(values):
    assert onset(values) is None


def test_from_the_first_epoch():
    since = onset([1.0 + 0.1 * e for e in range(12)])
    assert since.epoch == 0
    assert since.rise == pytest.approx(2.0 / 1.1 - 1.0)  # of two neighbours the higher


def test_six_validations_are_enough():
    assert onset([3.0, 2.0, 1.0, 2.0, 3.0, 4.0]).epoch == 2


@pytest.mark.parametrize(
    ("values", "turn", "expected"),
    [
        ([4.0, 2.0, 3.0, 1.0, 2.0, 4.0, 3.0, 5.0], 3, 1.0 / (8 - 6)),  # its neighbours differ
        ([1.0, 2.0, 3.0, 4.0, 9.0, 9.5], 3, 5.0 / (6 - 3) * 1.25 / 0.75),  # they are alike by 1/4
        ([float(e) for e in range(60)], 59, 17995.0 / 59 * 1.9 / 0.1),  # by 0.95: 0.9 is the most
        ([2.0] * 6, 2, 2e-6**2),  # none, and none is not divided by
    ],
)
def test_noise_is_what_the_fit_leaves_and_more_where_it_lasts(values, turn, expected):
    """Variance times (1 + r) / (1 - r), as for the mean of an AR(1) process (Bartlett 1935)."""
    assert _noise(values, turn) == pytest.approx(expected, rel=1e-9)


def test_cost_of_falling_against_quadratic_programming():
    """An independent way: the best fit among all ways to cut into blocks of falling means."""
    from itertools import combinations, pairwise

    draw = random.Random(0)
    for _ in range(30):
        values = [draw.random() for _ in range(6)]
        best = float("inf")
        for cuts in range(6):
            for places in combinations(range(1, 6), cuts):
                blocks = [values[a:b] for a, b in zip((0, *places), (*places, 6), strict=True)]
                means = [sum(b) / len(b) for b in blocks]
                if all(a >= b for a, b in pairwise(means)):
                    cost = sum((v - m) ** 2 for b, m in zip(blocks, means, strict=True) for v in b)
                    best = min(best, cost)
        assert _cost_of_falling(values)[-1] == pytest.approx(best, abs=1e-12)
