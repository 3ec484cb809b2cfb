"""Prechelt's criteria, against numbers worked out by hand from his formulas."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinned.metrics import (
    as_errors,
    generalization_loss,
    progress,
    progress_quotient,
    up_strips,
)

ERRORS = st.lists(st.floats(0.01, 10.0), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("errors", "loss"),
    [
        *(([1.0], 0.0), ([1.0, 0.5], 0.0), ([1.0, 0.5, 0.6], 20.0), ([0.4, 0.6], 50.0)),
        *(([0.5, 0.4, 0.4], 0.0), ([0.0, 0.1], math.inf), ([0.0, 0.0], 0.0)),
    ],
)
def test_generalization_loss(errors, loss):
    assert generalization_loss(errors) == pytest.approx(loss)


@pytest.mark.parametrize(
    ("errors", "strip", "expected"),
    [
        ([1.0], 5, 0.0),
        ([2.0, 1.0], 5, 500.0),  # 1000 (3 / (2 * 1) - 1)
        ([9.0, 2.0, 1.0], 2, 500.0),
        ([9.0, 1.0, 0.9, 0.8, 0.7, 0.6], 5, 1000 * (4.0 / (5 * 0.6) - 1)),
        ([3.0, 3.0, 3.0], 3, 0.0),
        ([0.0, 0.0], 2, 0.0),
        ([1.0, 0.0], 2, math.inf),
    ],
)
def test_progress(errors, strip, expected):
    assert progress(errors, strip) == pytest.approx(expected)


def test_progress_quotient():
    validation, training = [1.0, 0.5, 0.6], [0.9, 0.5, 0.4]
    moved = 1000 * (1.8 / (3 * 0.4) - 1)
    assert progress_quotient(validation, training) == pytest.approx(20.0 / moved)
    assert progress_quotient([1.0, 0.5], [1.0, 1.0]) == 0.0
    assert progress_quotient([0.5, 1.0], [1.0, 1.0]) == math.inf
    assert progress_quotient([0.5, 1.0], [1.0, 0.0]) == 0.0


@pytest.mark.parametrize(
    ("errors", "strip", "rising"),
    [
        ([1.0], 2, 0),
        ([3.0, 2.0, 1.0, 1.1, 1.2, 1.3, 1.4], 2, 2),  # ends 3.0, 1.0, 1.2, 1.4
        ([1.0, 1.1, 1.2, 1.3], 1, 3),
        ([1.0, 1.1, 1.0, 1.3], 1, 1),
        ([1.0, 5.0, 0.9], 2, 0),  # ends 1.0, 0.9
    ],
)
def test_up_strips(errors, strip, rising):
    assert up_strips(errors, strip) == rising


@given(ERRORS, st.floats(0.1, 10.0))
def test_scale_does_not_matter(errors, scale):
    scaled = [e * scale for e in errors]
    assert generalization_loss(scaled) == pytest.approx(generalization_loss(errors), abs=1e-6)
    assert progress(scaled) == pytest.approx(progress(errors), abs=1e-6)


@given(ERRORS)
def test_none_is_negative(errors):
    assert generalization_loss(errors) >= 0.0
    assert progress(errors) >= -1e-9
    assert progress_quotient(errors, errors) >= -1e-9


@pytest.mark.parametrize(
    ("values", "mode", "errors"),
    [
        ([0.5, 0.25], "min", [0.5, 0.25]),
        ([0.5, 0.75], "max", [0.5, 0.25]),
        ([-3.0, -1.0, -2.0], "min", [1.0, 2.0, 1.5]),
        ([10.0, 20.0, 15.0], "max", [2.0, 1.0, 1.5]),
        ([-1.0], "min", [1.0]),
    ],
)
def test_as_errors(values, mode, errors):
    assert as_errors(values, mode) == errors


@pytest.mark.parametrize("call", [generalization_loss, progress, up_strips])
def test_wrong_input(call):
    with pytest.raises(ValueError, match="at least one error, got none"):
        call([])
    with pytest.raises(ValueError, match=r"to be an error in \[0, inf\], got -1.0"):
        call([1.0, -1.0])


@pytest.mark.parametrize("call", [progress, up_strips])
def test_wrong_strip(call):
    for strip in (0, 2.5):
        with pytest.raises(ValueError, match="Expected `strip` to be a whole number from 1 on"):
            call([1.0], strip)


def test_a_mode_that_is_none_is_refused():
    with pytest.raises(ValueError, match="Expected `mode` to be one of 'min', 'max', got 'best'"):
        as_errors([1.0], "best")
