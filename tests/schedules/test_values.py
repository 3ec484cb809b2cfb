"""Every schedule's value before, at, between and after each of its boundaries, written by hand."""

import pytest

from thinned import schedules as s

# One row a case: the schedule, then progress -> rate. The curved values were worked out with a
# desk calculator from the formula in each docstring (exp(-1) = 0.3678794, cos 45 deg = 0.7071068).
TABLE = [
    (s.Constant(0.3), {-1.0: 0.3, 0.0: 0.3, 0.5: 0.3, 1.0: 0.3, 1.5: 0.3}),
    (s.Linear(0.0, 0.4), {-0.5: 0.0, 0.0: 0.0, 0.25: 0.1, 0.5: 0.2, 1.0: 0.4, 1.5: 0.4}),
    (
        s.Linear(0.1, 0.5, begin=0.2, until=0.6),
        {
            0.0: 0.1,
            0.19: 0.1,
            0.2: 0.1,
            0.3: 0.2,
            0.4: 0.3,
            0.6: 0.5,
            0.61: 0.5,
            1.0: 0.5,
            2.0: 0.5,
        },
    ),
    (s.Linear(0.5, 0.0), {0.0: 0.5, 0.2: 0.4, 0.9: 0.05, 1.0: 0.0, 1.1: 0.0}),
    (
        s.Linear(0.1, 0.5, begin=0.5, until=0.5),
        {0.0: 0.1, 0.49: 0.1, 0.5: 0.5, 1.2: 0.5},
    ),
    (
        s.Cosine(0.0, 0.4, begin=0.2, until=0.6),
        {
            0.0: 0.0,
            0.2: 0.0,
            0.3: 0.0585786,
            0.4: 0.2,
            0.5: 0.3414214,
            0.6: 0.4,
            0.7: 0.4,
            3.0: 0.4,
        },
    ),
    (
        s.Exponential(0.0, 0.5, begin=0.0, until=0.5, steepness=1.0),
        {0.0: 0.0, 0.25: 0.3112297, 0.5: 0.5, 0.6: 0.5, 1.0: 0.5, 1.3: 0.5},
    ),
    (s.Exponential(0.5, 0.0, steepness=1.0), {0.0: 0.5, 0.5: 0.1887703, 1.0: 0.0, 1.01: 0.0}),
    (
        s.Polynomial(0.0, 0.4, power=3.0, begin=0.5),
        {0.0: 0.0, 0.5: 0.0, 0.75: 0.05, 1.0: 0.4, 1.7: 0.4},
    ),
    (s.Polynomial(0.0, 0.4, power=0.5), {0.0: 0.0, 0.25: 0.2, 0.64: 0.32, 1.0: 0.4, 1.7: 0.4}),
    (
        s.Step((0.1, 0.3, 0.0), at=(0.25, 0.75)),
        {
            -1.0: 0.1,
            0.0: 0.1,
            0.24: 0.1,
            0.25: 0.3,
            0.26: 0.3,
            0.74: 0.3,
            0.75: 0.0,
            1.0: 0.0,
            2.0: 0.0,
        },
    ),
    (s.Step((0.1, 0.3), at=(1.0,)), {0.0: 0.1, 0.999: 0.1, 1.0: 0.3, 1.5: 0.3}),
    (s.Step((0.2,), at=()), {0.0: 0.2, 1.0: 0.2, 1.5: 0.2}),
    (
        s.Piecewise((0.1, 0.5, 0.0), at=(0.2, 0.4, 0.8)),
        {0.0: 0.1, 0.2: 0.1, 0.3: 0.3, 0.4: 0.5, 0.6: 0.25, 0.8: 0.0, 0.9: 0.0, 1.0: 0.0, 1.5: 0.0},
    ),
    (
        s.Cyclic(0.1, 0.5, cycles=2),
        {0.0: 0.1, 0.125: 0.3, 0.25: 0.5, 0.375: 0.3, 0.5: 0.1, 0.75: 0.5, 1.0: 0.1, 1.2: 0.1},
    ),
    (
        s.Cyclic(0.0, 0.4, cycles=1, shape="cosine"),
        {0.0: 0.0, 0.125: 0.0585786, 0.25: 0.2, 0.5: 0.4, 0.75: 0.2, 1.0: 0.0, 1.5: 0.0},
    ),
    (
        s.Curriculum(0.5),
        {0.0: 0.0, 0.1: 0.3160603, 0.2: 0.4323324, 1.0: 0.4999773, 2.0: 0.4999773},
    ),
    (s.Curriculum(0.4, gamma=1.0), {0.0: 0.0, 1.0: 0.2528482, 1.5: 0.2528482}),
    (s.Early(0.2, until=0.5), {0.0: 0.2, 0.49: 0.2, 0.5: 0.0, 0.51: 0.0, 1.0: 0.0, 1.5: 0.0}),
    (
        s.Early(0.2, until=0.5, shape="linear"),
        {0.0: 0.2, 0.125: 0.15, 0.25: 0.1, 0.5: 0.0, 0.6: 0.0, 1.5: 0.0},
    ),
    (s.Early(0.2, until=0.0), {0.0: 0.0, 1.0: 0.0}),
    (s.Late(0.4, begin=0.5), {0.0: 0.0, 0.49: 0.0, 0.5: 0.4, 0.51: 0.4, 1.0: 0.4, 1.5: 0.4}),
    (s.Late(0.4, begin=0.0), {0.0: 0.4, 1.0: 0.4}),
    (s.Warmup(0.4, until=0.5), {0.0: 0.0, 0.125: 0.1, 0.25: 0.2, 0.5: 0.4, 0.6: 0.4, 1.5: 0.4}),
    (
        s.Warmup(s.Linear(0.4, 0.0), until=0.25),
        {0.0: 0.0, 0.125: 0.175, 0.25: 0.3, 0.5: 0.2, 1.0: 0.0, 1.5: 0.0},
    ),
    (s.Warmup(0.4, until=0.0), {0.0: 0.4, 1.0: 0.4}),
    (
        s.Sequence((s.Linear(0.0, 0.4), 0.1, s.Linear(0.1, 0.3)), at=(0.4, 0.5)),
        {
            0.0: 0.0,
            0.2: 0.2,
            0.39: 0.39,
            0.4: 0.1,
            0.45: 0.1,
            0.5: 0.1,
            0.75: 0.2,
            1.0: 0.3,
            1.5: 0.3,
        },
    ),
    (s.Function(lambda t: 0.5 * t), {-1.0: 0.0, 0.0: 0.0, 0.5: 0.25, 1.0: 0.5, 1.5: 0.5}),
]


@pytest.mark.parametrize(
    ("schedule", "expected"), TABLE, ids=lambda x: str(x) if callable(x) else ""
)
def test_literal_values(schedule, expected):
    assert expected
    assert {t: schedule(t) for t in expected} == pytest.approx(expected, abs=5e-8)


def test_the_table_has_every_schedule():
    assert set(s.SCHEDULES.values()) | {s.Function} == {type(schedule) for schedule, _ in TABLE}


@pytest.mark.parametrize("schedule", [row[0] for row in TABLE], ids=str)
def test_ends_are_exact_not_only_close(schedule):
    # A ramp's last rate must be the very number that was asked for, not that plus a rounding.
    end = getattr(schedule, "end", None)
    if end is not None and not isinstance(schedule, s.Curriculum):
        assert schedule(1.0) == end
    assert schedule(1.0) == schedule(7.0)
    assert schedule(0.0) == schedule(-7.0)


@pytest.mark.parametrize(
    ("profile", "widths", "expected"),
    [
        (s.Uniform(), [8, None, 2], (0.4, 0.4, 0.4)),
        (s.LinearDepth(), [None] * 4, (0.1, 0.2, 0.3, 0.4)),
        (s.LinearDepth(), [None], (0.4,)),
        (s.ByWidth(), [10, 40, 20], (0.1, 0.4, 0.2)),
        (s.ByWidth(power=2.0), [10, 20], (0.1, 0.4)),
        (s.ByWidth(power=0.5), [1, 4], (0.2, 0.4)),
        (s.ByWidth(power=0), [1, 4], (0.4, 0.4)),
        (s.Proportional([0.5, 1, 0]), [None, 8, 8], (0.2, 0.4, 0.0)),
        (s.LinearDepth(), [], ()),
        (s.ByWidth(), [], ()),
    ],
    ids=str,
)
def test_profiles(profile, widths, expected):
    assert profile.rates(0.4, widths) == pytest.approx(expected)


def test_the_deepest_and_the_widest_site_have_the_very_rate():
    assert s.LinearDepth().rates(0.3, [None] * 7)[-1] == 0.3
    assert s.ByWidth().rates(0.3, [3, 7])[-1] == 0.3


def test_unknown_widths_are_refused():
    with pytest.raises(ValueError, match=r"Expected `widths` to be known .* got None at \[1\]"):
        s.ByWidth().rates(0.3, [64, None])
