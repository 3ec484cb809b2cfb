"""Fuzzing in two lengths: short and the same every time in CI, long and random by the script.

``bash scripts/fuzz --count 5000 --seed 3`` sets the two variables that are read here.
"""

import os
import sys

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

COUNT = int(os.environ.get("THINNED_FUZZ_COUNT", "0"))
OURS = ("Expected", "Missing", "Unknown", "argument", "Found no", "Two schedulers")


def fuzzed(count):
    """Return hypothesis' settings: this many examples in CI, ``THINNED_FUZZ_COUNT`` else."""
    return settings(
        max_examples=COUNT or count,
        derandomize=not COUNT,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def told(error):
    """Say whether an error is one that we raise on purpose: with what was expected, and got."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    own = trace.tb_frame.f_globals.get("__name__", "").startswith("thinned.")
    return (
        isinstance(error, (TypeError, ValueError))
        and any(word in str(error) for word in OURS)
        and own
    )


numbers = st.one_of(
    st.floats(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 2**63, 1e308, 5e-324, sys.maxsize]),
)
words = st.one_of(
    st.text(max_size=8), st.sampled_from(["", " ", "*", "\0", "../x", "\ud800", "nan"])
)
leaves = st.one_of(st.none(), st.booleans(), numbers, words, st.binary(max_size=4))
junk = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
