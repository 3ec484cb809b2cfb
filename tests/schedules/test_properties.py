"""What holds for every schedule, whatever its arguments."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from thinned import schedules as s

rates = st.floats(0.0, 1.0)
fractions = st.floats(0.0, 1.0)
progress = st.floats(-1e6, 1e6) | fractions
intervals = st.tuples(fractions, fractions).map(sorted)


@st.composite
def ramps(draw):
    begin, until = draw(intervals)
    options = {"begin": begin, "until": until}
    cls = draw(st.sampled_from([s.Linear, s.Cosine, s.Exponential, s.Polynomial]))
    if cls is s.Exponential:
        options["steepness"] = draw(st.floats(1e-6, 1e3))
    if cls is s.Polynomial:
        options["power"] = draw(st.floats(1e-6, 100.0))
    return cls(draw(rates), draw(rates), **options)


@st.composite
def tables(draw):
    times = sorted(draw(st.sets(st.floats(0.001, 0.999), min_size=1, max_size=5)))
    many = [draw(rates) for _ in range(len(times) + 1)]
    cls = draw(st.sampled_from([s.Step, s.Piecewise, s.Sequence]))
    return cls(many[1:] if cls is s.Piecewise else many, at=times)


cyclic = st.builds(
    lambda ends, cycles, shape: s.Cyclic(*ends, cycles=cycles, shape=shape),
    st.tuples(rates, rates).map(sorted),
    st.integers(1, 1000),
    st.sampled_from(["triangle", "cosine"]),
)
simple = st.one_of(
    ramps(),
    tables(),
    cyclic,
    rates.map(s.Constant),
    st.builds(s.Curriculum, rates, gamma=st.floats(1e-6, 1e3)),
    st.builds(s.Early, rates, until=fractions, shape=st.sampled_from(["constant", "linear"])),
    st.builds(s.Late, rates, begin=fractions),
)
any_schedule = st.recursive(
    simple, lambda inner: st.builds(s.Warmup, inner, until=fractions), max_leaves=3
)


@given(any_schedule, progress)
def test_always_a_rate(schedule, t):
    assert 0.0 <= schedule(t) <= 1.0


@given(any_schedule, st.floats(1.0, 1e9))
def test_past_the_end_it_stays(schedule, t):
    assert schedule(t) == schedule(1.0)


@given(ramps(), st.tuples(fractions, fractions).map(sorted))
def test_a_ramp_never_turns_back(schedule, times):
    first, second = (schedule(t) for t in times)
    tolerance = 1e-12
    if schedule.start <= schedule.end:
        assert first <= second + tolerance
    else:
        assert first >= second - tolerance


@given(st.sampled_from(list(s.PROFILES)), rates, st.lists(st.integers(1, 4096), max_size=8))
def test_a_profile_never_exceeds_the_group(name, rate, widths):
    result = s.as_profile(name).rates(rate, widths)
    assert len(result) == len(widths)
    assert all(0.0 <= r <= rate for r in result)
    if name == "linear_depth" and widths:
        assert result[-1] == rate


JUNK = st.one_of(
    st.none(), st.booleans(), st.text(max_size=5), st.floats(), st.integers(), st.lists(st.floats())
)


def rate_or_message(name, positional, t):
    """Return the rate, or else the error's message; an error of any other kind gets out."""
    try:
        return s.SCHEDULES[name](*positional)(t)
    except (TypeError, ValueError) as error:
        return str(error)


@given(st.sampled_from(list(s.SCHEDULES)), st.lists(JUNK, max_size=3), JUNK)
def test_junk_gives_a_clear_error_or_a_right_rate(name, positional, t):
    outcome = rate_or_message(name, positional, t)
    if isinstance(outcome, str):
        assert "Expected `" in outcome or "argument" in outcome
    else:
        assert 0.0 <= outcome <= 1.0


def test_the_room_imports_nothing_heavy():
    code = (
        "import sys, thinned.schedules;"
        "print(sorted({'torch', 'numpy', 'matplotlib', 'lightning', 'pytorch_lightning'}"
        " & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
