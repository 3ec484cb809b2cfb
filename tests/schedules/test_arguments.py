"""Wrong arguments fail at construction, with a message that names them and the fix."""

import dataclasses
import pickle
import sys

import numpy as np
import pytest

from thinned import schedules as s

NAN = float("nan")

WRONG = [
    (lambda: s.Function(lambda: 0.1), TypeError, r"function of one number, progress, got <"),
    (lambda: s.as_schedule(lambda a, b: 0.1), TypeError, r"`schedule` to be a function of one"),
    (
        lambda: s.as_schedule({"class_path": "thinned.schedules.Linaer"}),
        ValueError,
        r"Did you mean 'thinned.schedules.Linear'",
    ),
    (
        lambda: s.as_schedule({"class_path": "mine.Own", "init_args": {"a": 1}}),
        ValueError,
        r"got mine.Own with {'a': 1}. See whether the class takes them",
    ),
    (lambda: s.Constant(1.5), ValueError, r"`rate` to be a rate in \[0, 1\], got 1.5. A rate is"),
    (lambda: s.Constant(-0.1), ValueError, r"`rate` to be a rate in \[0, 1\], got -0.1"),
    (lambda: s.Constant(NAN), ValueError, r"`rate` to be a rate in \[0, 1\], got nan"),
    (lambda: s.Constant("abc"), TypeError, r"`rate` to be a rate in \[0, 1\], got 'abc'"),
    (lambda: s.Constant(True), TypeError, r"`rate` to be a rate in \[0, 1\], got True"),
    (lambda: s.Constant(None), TypeError, r"`rate` to be a rate in \[0, 1\], got None"),
    (lambda: s.Linear(0.0, 1.5), ValueError, r"`end` to be a rate in \[0, 1\], got 1.5"),
    (lambda: s.Linear(NAN, 0.5), ValueError, r"`start` to be a rate in \[0, 1\], got nan"),
    (
        lambda: s.Linear(0.0, 0.5, begin=0.8, until=0.2),
        ValueError,
        r"`begin` to be at most `until`, got begin=0.8, until=0.2. To make a rate fall, swap",
    ),
    (lambda: s.Cosine(0, 0.5, until=5), ValueError, r"`until` to be a progress .* got 5. It is a"),
    (lambda: s.Cosine(0, 0.5, begin=NAN), ValueError, r"`begin` to be a progress .* got nan"),
    (lambda: s.Exponential(0, 0.5, steepness=0), ValueError, r"`steepness` .* got 0"),
    (lambda: s.Exponential(0, 0.5, begin=1, until=0), ValueError, r"`begin` to be at most"),
    (lambda: s.Polynomial(0, 0.5, power=-1), ValueError, r"`power` .* got -1"),
    (lambda: s.Step((0.1, 0.2), at=()), ValueError, r"`at` to have 1 times, one fewer .* got 0"),
    (lambda: s.Step((0.1, 2), at=(0.5,)), ValueError, r"`rates\[1\]` to be a rate .* got 2"),
    (lambda: s.Step((), at=()), ValueError, r"`rates` to hold something, got \(\)"),
    (lambda: s.Step(0.1, at=()), TypeError, r"`rates` to be a list or tuple, got 0.1"),
    (lambda: s.Step("abc", at=(0.1,)), TypeError, r"`rates` to be a list or tuple, got 'abc'"),
    (lambda: s.Step((0, 0.1, 0), at=(0.7, 0.2)), ValueError, r"`at` to rise .*\(0.7, 0.2\). Sort"),
    (lambda: s.Step((0, 0.1), at=(1.2,)), ValueError, r"`at\[0\]` to be a progress"),
    (lambda: s.Piecewise((0, 0.1), at=(0.5,)), ValueError, r"`at` to have 2 times, as many as"),
    (lambda: s.Piecewise((0, 0.1), at=(0.5, 0.5)), ValueError, r"`at` to rise"),
    (lambda: s.Cyclic(0.5, 0.1), ValueError, r"`low` to be at most `high`, got low=0.5, high=0.1"),
    (lambda: s.Cyclic(0.1, 0.5, cycles=0), ValueError, r"`cycles` to be a whole number .* got 0"),
    (lambda: s.Cyclic(0.1, 0.5, cycles=1.5), ValueError, r"`cycles` to be a whole number, got 1.5"),
    (lambda: s.Cyclic(0, 0.5, shape="cosin"), ValueError, r"`shape` .* Did you mean 'cosine'\?"),
    (lambda: s.Curriculum(1.1), ValueError, r"`end` to be a rate"),
    (lambda: s.Curriculum(0.5, gamma=0), ValueError, r"`gamma` .* got 0"),
    (lambda: s.Early(0.5, until=-1), ValueError, r"`until` to be a progress"),
    (lambda: s.Early(0.5, shape="liner"), ValueError, r"`shape` .* Did you mean 'linear'\?"),
    (lambda: s.Late(0.5, begin="x"), TypeError, r"`begin` to be a progress .* got 'x'"),
    (lambda: s.Warmup(0.5, until=1.01), ValueError, r"`until` to be a progress"),
    (lambda: s.Warmup(1.5), ValueError, r"`schedule` to be a rate .* got 1.5"),
    (lambda: s.Sequence((0.1, 0.2), at=(1.0,)), ValueError, r"between 0 and 1, both excluded"),
    (lambda: s.Sequence((0.1, 0.2), at=(0.0,)), ValueError, r"between 0 and 1, both excluded"),
    (lambda: s.Sequence((0.1, 0.2), at=()), ValueError, r"`at` to have 1 times"),
    (lambda: s.Function(lambda t: 2.0), ValueError, r"`<lambda>\(0\)` to be a rate .* got 2.0"),
    (lambda: s.Function(lambda t: 2 * t), ValueError, r"`<lambda>\(1\)` to be a rate"),
    (lambda: s.Function(lambda t: None), TypeError, r"`<lambda>\(0\)` to be a rate .* got None"),
    (lambda: s.ByWidth(power=-1), ValueError, r"`power` .* got -1"),
    (lambda: s.Proportional(0.5), TypeError, r"`shares` to be a list or tuple, got 0.5"),
    (lambda: s.Proportional((0.5, 2)), ValueError, r"`shares\[1\]` to be a number .* got 2"),
    (
        lambda: s.Proportional((0.5,)).rates(0.1, []),
        ValueError,
        r"as many sites as `shares`, 1, got 0",
    ),
    (lambda: s.as_schedule("cosin"), ValueError, r"`schedule` .* 'cosin'. Did you mean 'cosine'\?"),
    (lambda: s.as_schedule("step"), TypeError, r"got 'step'. Give its arguments: .*Step\("),
    (lambda: s.as_schedule("linear", rate=3), ValueError, r"`rate` to be a rate"),
    (lambda: s.as_schedule(1.5), ValueError, r"`schedule` to be a rate in \[0, 1\], got 1.5"),
    (lambda: s.as_schedule(None), TypeError, r"`schedule` .* got None. Write 0.1, 'linear'"),
    (lambda: s.as_schedule(False), TypeError, r"`schedule` .* got False"),
    (lambda: s.as_schedule(s.Linear), TypeError, r"got the class Linear. Give it its rates: Lin"),
    (lambda: s.as_profile("linear"), ValueError, r"`profile` .* Did you mean 'linear_depth'\?"),
    (lambda: s.as_profile(3), TypeError, r"`profile` to be None, .* got 3. Write LinearDepth\(\)"),
]


@pytest.mark.parametrize(("make", "error", "message"), WRONG, ids=[row[2] for row in WRONG])
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_nan_progress_is_refused():
    with pytest.raises(ValueError, match=r"`progress` to be a number .* got nan"):
        s.Linear(0.0, 0.5)(NAN)


@pytest.mark.parametrize("cls", s.SCHEDULES.values(), ids=s.SCHEDULES)
def test_rates_are_positional_and_the_rest_is_keyword_only(cls):
    fields = [f for f in dataclasses.fields(cls) if f.init]
    positional = {f.name for f in fields if not f.kw_only}
    assert positional
    assert positional <= {"rate", "rates", "start", "end", "low", "high", "schedule", "schedules"}


def example(name):
    arguments = {
        "step": {"rates": [0.1, 0.3], "at": [0.5]},
        "piecewise": {"rates": [0.1, 0.3], "at": [0, 1]},
        "sequence": {"schedules": [0.1, "linear"], "at": [0.5]},
    }
    return s.SCHEDULES[name](**arguments[name]) if name in arguments else s.as_schedule(name)


@pytest.mark.parametrize("name", s.SCHEDULES)
def test_schedules_are_values(name):
    schedule = example(name)
    assert schedule == example(name)
    assert hash(schedule) == hash(example(name))
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert eval(repr(schedule), vars(s)) == schedule
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign"):
        schedule.rate = 0.2


@pytest.mark.parametrize(
    ("given", "held"),
    [
        (s.Early(np.float32(0.5), until=1), "Early(rate=0.5, until=1.0, shape='constant')"),
        (s.Late(1, begin=np.float32(0.5)), "Late(rate=1.0, begin=0.5)"),
    ],
)
def test_whole_numbers_and_those_of_numpy_become_floats(given, held):
    assert repr(given) == held


def test_early_and_late_change_after_a_fifth():
    assert s.Early(0.3) == s.Early(0.3, until=0.2)
    assert s.Late(0.3) == s.Late(0.3, begin=0.2)


def test_names_go_to_the_rate_given():
    assert s.as_schedule("linear") == s.Linear(0.0, 0.1)
    assert s.as_schedule("linear", rate=0.3) == s.Linear(0.0, 0.3)
    assert s.as_schedule("curriculum", rate=0.3) == s.Curriculum(0.3)
    assert s.as_schedule("early", rate=0.3) == s.Early(0.3)
    assert s.as_schedule("cyclic", rate=0.3) == s.Cyclic(0.0, 0.3)


def test_numbers_and_functions_become_schedules():
    assert s.as_schedule(0.25) == s.Constant(0.25)
    assert s.as_schedule(1) == s.Constant(1.0)
    linear = s.Linear(0.0, 0.3)
    assert s.as_schedule(linear) is linear
    assert s.as_schedule(lambda t: t / 2)(0.5) == 0.25


def test_only_a_constant_needs_no_progress():
    free = {name for name in s.SCHEDULES if not example(name).needs_progress}
    assert free == {"constant"}
    assert s.as_schedule(lambda t: 0.1).needs_progress


def test_profiles_by_name():
    assert s.as_profile(None) == s.Uniform()
    assert {name: type(s.as_profile(name)) for name in s.PROFILES} == s.PROFILES


def test_a_function_that_leaves_the_rates_in_the_middle_says_where():
    bump = s.as_schedule(lambda t: 2.0 if t == 0.5 else 0.1)
    with pytest.raises(ValueError, match=r"`<lambda>\(0.5\)` to be a rate"):
        bump(0.5)


def test_plot_draws_the_curve_and_takes_axes():
    import matplotlib as mpl

    mpl.use("Agg")
    figure, ax = s.Linear(0.0, 0.4).plot()
    same, again = s.Late(0.4, begin=0.5).plot(ax)
    assert same is figure
    assert again is ax
    assert [line.get_label() for line in ax.lines] == [
        "Linear(start=0.0, end=0.4, begin=0.0, until=1.0)",
        "Late(rate=0.4, begin=0.5)",
    ]
    x, y = ax.lines[0].get_data()
    assert (x[0], y[0], x[500], y[500], x[-1], y[-1]) == (0.0, 0.0, 0.5, 0.2, 1.0, 0.4)
    mpl.pyplot.close(figure)


def test_without_matplotlib_a_plot_says_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'thinned\[plot\]'"):
        s.Linear(0.0, 0.3).plot()
