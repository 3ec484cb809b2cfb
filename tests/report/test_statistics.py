import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from thinned.report._comparison.statistics import (
    Difference,
    difference,
    estimate,
    holm,
    one_standard_error,
)
from thinned.report._comparison.student import critical_t, two_sided_p


@given(st.floats(-60, 60), st.floats(1, 300))
@example(6e-8, 5.0)
@example(2.346321001348277e-09, 1.0)  # there scipy says 1, ours is 1 - 1.5e-9, as it should be
def test_p_is_that_of_scipy(t, freedom):
    assert math.isclose(
        two_sided_p(t, freedom), 2 * stats.t.sf(abs(t), freedom), rel_tol=1e-8, abs_tol=1e-12
    )


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.706), (2, 4.303), (4, 2.776), (10, 2.228), (100, 1.984)]
)
def test_critical_values_are_those_of_the_tables(freedom, expected):
    assert round(critical_t(freedom), 3) == expected


def test_an_infinite_t_has_no_chance():
    assert two_sided_p(math.inf, 3) == 0.0


def test_one_seed_has_no_error():
    found = estimate({1: 0.5})
    assert (found.mean, found.se, found.n) == (0.5, None, 1)
    assert estimate({}) is None


def test_paired_difference_is_scipys():
    generator = random.Random(1)
    base = {seed: generator.gauss(1, 0.5) for seed in range(6)}
    arm = {seed: value - 0.1 + generator.gauss(0, 0.05) for seed, value in base.items()}
    found = difference(arm, base)
    reference = stats.ttest_rel([arm[s] for s in base], [base[s] for s in base])
    interval = reference.confidence_interval(0.95)
    assert found.paired
    assert found.p == pytest.approx(reference.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-6)


def test_without_common_seeds_it_is_welchs():
    arm, base = {1: 1.0, 2: 1.2, 3: 1.1}, {11: 1.5, 12: 1.9, 13: 1.6, 14: 1.4}
    found = difference(arm, base)
    reference = stats.ttest_ind(list(arm.values()), list(base.values()), equal_var=False)
    assert not found.paired
    assert found.p == pytest.approx(reference.pvalue, rel=1e-9)


@pytest.mark.parametrize("base", [{1: 1.5, 12: 1.9}, {1: 1.5, 12: 1.9, 13: 1.6}])
@pytest.mark.parametrize("arm", [{1: 1.0, 2: 1.2}, {1: 1.0, 2: 1.2, 3: 1.7}])
def test_one_common_seed_of_several_is_too_few_to_pair(arm, base):
    found = difference(arm, base)
    reference = stats.ttest_ind(list(arm.values()), list(base.values()), equal_var=False)
    interval = reference.confidence_interval(0.95)
    assert not found.paired
    mean = sum(arm.values()) / len(arm) - sum(base.values()) / len(base)
    assert (found.mean, found.p) == pytest.approx((mean, reference.pvalue))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-6)


def test_only_common_seeds_are_paired():
    found = difference({1: 1.0, 2: 2.0, 9: 100.0}, {1: 1.5, 2: 2.7, 8: 0.0})
    assert found.n == 2
    assert found.mean == pytest.approx(-0.6)


def test_one_seed_gives_a_difference_without_error():
    found = difference({1: 1.0}, {1: 1.5})
    assert (found.mean, found.se, found.p) == (-0.5, None, None)
    assert not found.significant
    assert difference({}, {1: 1.0}) is None
    more = {1: 1.5, 2: 9.0}  # whose seed 1 is the only one to compare with
    assert difference({1: 1.0}, more) == Difference(-0.5)
    assert difference(more, {1: 1.0}) == Difference(0.5)
    for arm, base, mean in (({7: 1.0}, more, -4.25), (more, {7: 1.0}, 4.25)):
        found = difference(arm, base)
        assert (found.mean, found.se, found.p, found.paired) == (mean, None, None, False)


def test_equal_runs_do_not_differ():
    found = difference({1: 1.0, 2: 2.0}, {1: 1.0, 2: 2.0})
    assert (found.mean, found.se, found.p) == (0.0, 0.0, 1.0)


def test_the_same_change_at_every_seed_is_certain():
    assert difference({1: 1.0, 2: 2.0}, {1: 2.0, 2: 3.0}).p == 0.0


def test_holm_by_hand():
    raw = {"a": Difference(0.0, p=0.01), "b": Difference(0.0, p=0.04), "c": Difference(0.0, p=0.03)}
    adjusted = holm({**raw, "d": None, "e": Difference(0.0)})
    assert {name: found.p for name, found in adjusted.items() if found} == {
        "a": pytest.approx(0.03),
        "c": pytest.approx(0.06),
        "b": pytest.approx(0.06),
        "e": None,
    }
    assert adjusted["d"] is None


def test_one_standard_error_over_common_seeds():
    arms = [
        {1: 0.50, 2: 0.70, 3: 0.60},  # worse by 0.1 at every seed, though the seeds differ more
        {1: 0.40, 2: 0.60, 3: 0.50},
        {1: 0.42, 2: 0.58, 3: 0.51},
    ]
    assert one_standard_error(arms) == [1, 2]


def test_one_standard_error_of_the_best_without_common_seeds():
    arms = [{1: 1.0, 2: 1.2}, {3: 1.05, 4: 1.25}, {5: 1.4, 6: 1.6}]  # standard error 0.1
    assert one_standard_error(arms) == [0, 1]


def test_one_standard_error_where_higher_is_better():
    arms = [{1: 0.9, 2: 0.8}, {1: 0.5, 2: 0.4}]
    assert one_standard_error(arms, lower_is_better=False) == [0]
    assert one_standard_error([{}]) == []
