"""Whatever is given to a schedule or a profile: a rate in [0, 1], or an error that says why."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from helpers.fuzzing import fuzzed, junk, numbers, told
from thinned import schedules as s

rates = st.floats(0.0, 1.0) | st.sampled_from([0, 1, 5e-324, 1 - 2**-53])
times = st.lists(rates, max_size=4).map(sorted)
inner = st.deferred(lambda: rates | st.sampled_from(sorted(s.SCHEDULES)) | made())
RIGHT = {
    "rates": st.lists(rates, min_size=1, max_size=4),
    "schedules": st.lists(inner, min_size=1, max_size=3),
    "schedule": inner,
    "at": times,
    "cycles": st.integers(1, 10**6),
    "shape": st.sampled_from(["triangle", "cosine", "constant", "linear"]),
    "steepness": st.floats(0.0, exclude_min=True),
    "gamma": st.floats(0.0, exclude_min=True),
    "power": st.floats(0.0),
}


@st.composite
def calls(draw):
    """Draw a schedule's name and arguments: right ones, or one of them anything."""
    name = draw(st.sampled_from(sorted(s.SCHEDULES)))
    fields = [f for f in dataclasses.fields(s.SCHEDULES[name]) if f.init]
    asked = [f for f in fields if f.default is dataclasses.MISSING or draw(st.booleans())]
    arguments = {f.name: draw(RIGHT.get(f.name, rates)) for f in asked}
    if draw(st.booleans()) and arguments:
        arguments[draw(st.sampled_from(sorted(arguments)))] = draw(junk)
    return name, arguments


@st.composite
def made(draw):
    """Draw a schedule that could be made."""
    name, arguments = draw(calls())
    try:
        return s.SCHEDULES[name](**arguments)
    except (TypeError, ValueError):
        return 0.1


def rate_or_reason(function):
    """Return the rate, or None where the error is one of ours; any other error gets out."""
    try:
        return function()
    except (TypeError, ValueError) as error:
        if not told(error):
            raise
        return None


@fuzzed(400)
@given(calls(), numbers | rates)
def test_a_schedule_is_refused_or_gives_rates(call, progress):
    name, arguments = call
    schedule = rate_or_reason(lambda: s.SCHEDULES[name](**arguments))
    if schedule is None:
        return
    for t in (progress, 0.0, 0.5, 1.0):
        rate = rate_or_reason(lambda t=t: schedule(t))
        assert rate is None or 0.0 <= rate <= 1.0
    assert schedule(1.0) == schedule(2.0)


@fuzzed(200)
@given(junk, junk)
def test_whatever_stands_for_a_schedule_or_a_profile(value, rate):
    schedule = rate_or_reason(lambda: s.as_schedule(value, rate=rate))
    assert schedule is None or 0.0 <= schedule(0.3) <= 1.0
    profile = rate_or_reason(lambda: s.as_profile(value))
    assert profile is None or profile.rates(0.5, [1, 2])


@fuzzed(200)
@given(
    st.sampled_from(sorted(s.PROFILES)),
    numbers | rates,
    st.lists(st.integers(1, 10**9) | st.none(), max_size=6),
)
def test_a_profile_is_refused_or_gives_rates(name, rate, widths):
    found = rate_or_reason(lambda: s.as_profile(name).rates(rate, widths))
    assert found is None or all(0.0 <= each <= rate for each in found)
