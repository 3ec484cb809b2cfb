"""What a stored study refuses, and how many trials it still asks for; no trial is run."""

import contextlib
import os

import pytest
from hydra import compose, initialize_config_dir

from thinned.app import train  # noqa: F401  # registers the resolvers
from thinned.app._conf import conf_dir
from thinned.app._errors import ConfigError
from thinned.app._study import StudyDone, prepare

# Optuna 2.10 on SQLAlchemy 1.4, which are the versions that work together.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Deprecated API features detected"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:(create|add)_trial is experimental"),
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
]
GRID = ["hydra/sweeper/sampler=grid", "schedule.body=0.1,0.2", "schedule.head=0.3,0.4"]


def _prepare(*typed):
    """Prepare `thinned train -m search=rates` with these overrides; return the sweeper's part."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", ["search=rates"], return_hydra_config=True)
        own = [word for word in typed if word.startswith("hydra")]
        cfg = compose("train", ["search=rates", *own], return_hydra_config=True)
    cfg.hydra.overrides.task = ["search=rates", *(word for word in typed if word not in own)]
    prepare(cfg)
    return cfg.hydra.sweeper


def test_a_study_that_is_taken_up_again_knows_its_earlier_folders(tmp_path):
    from pathlib import Path

    def begin(name):
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = compose("train", ["search=rates"], return_hydra_config=True)
        cfg.hydra.overrides.task = ["search=rates"]
        cfg.hydra.sweep.dir = name
        return prepare(cfg)

    assert begin("multirun/a") == []
    Path("multirun/a").mkdir()
    assert begin("multirun/b") == ["multirun/a"]  # b itself never came to be
    assert begin("multirun/c") == ["multirun/a"]
    assert begin("multirun/a") == []


def _study():
    import optuna  # inside of a test: the import itself warns

    return optuna.load_study(study_name="rates", storage="sqlite:///multirun/rates.db")


def _done(choices=None):
    """Add a finished trial, of a rate for the body and a rate, or one of these, for the head."""
    from optuna.distributions import CategoricalDistribution, UniformDistribution
    from optuna.trial import create_trial

    _prepare()
    rate = UniformDistribution(0.0, 0.7)
    head = CategoricalDistribution(choices) if choices else rate
    _study().add_trial(
        create_trial(
            params={"schedule.body": 0.25, "schedule.head": choices[0] if choices else 0.25},
            distributions={"schedule.body": rate, "schedule.head": head},
            value=0.5,
        )
    )


@pytest.mark.parametrize(
    ("typed", "got"),
    [
        ("schedule.head=choice(0.1,0.2)", "one of 0.1, 0.2"),
        ("schedule.head=range(0,2)", "a whole number in [0, 2]"),
        ("schedule.head=range(0,0.6,0.2)", "a number in [0, 0.6] in steps of 0.2"),
        ("schedule.head=tag(log,interval(0.1,0.7))", "[0.1, 0.7], on a logarithmic scale"),
    ],
)
def test_a_setting_that_is_searched_in_another_way_is_refused(typed, got):
    _done()
    with pytest.raises(ConfigError) as error:
        _prepare(typed)
    said = str(error.value)
    began = "Expected `schedule.head` to be searched as study rates began, a number in [0, 0.7], "
    assert said.startswith(began + "got ")
    assert got in said
    assert said.endswith("For another study: hydra.sweeper.study_name=NAME.")


def test_other_choices_are_refused_and_other_bounds_are_not():
    _done([0.3, 0.4])
    assert _prepare("schedule.head=0.3,0.4", "schedule.body=interval(0,0.9)").n_trials == 19
    with pytest.raises(ConfigError, match=r"began, one of 0.3, 0.4, got one of 0.3, 0.5\. For"):
        _prepare("schedule.head=0.3,0.5")


def test_another_direction_is_refused():
    _done()
    with pytest.raises(ConfigError, match="as study rates began, minimize, got maximize"):
        _prepare("hydra.sweeper.direction=maximize")


@pytest.mark.parametrize(
    ("storage", "why"),
    [
        ("sqlite:////no/such/folder/x.db", "OperationalError: unable to open database file"),
        ("nothing", "ArgumentError: no URL"),
        ("postgresql://me:secret@host/x", "ImportError: Failed to import DB"),
    ],
)
def test_a_database_that_cannot_be_opened_is_refused_without_its_password(storage, why):
    with pytest.raises(ConfigError, match=r"the URL of a database that can be opened") as error:
        _prepare(f"hydra.sweeper.storage={storage}")
    assert why in str(error.value)
    assert "secret" not in str(error.value)


def test_no_trials_are_refused():
    with pytest.raises(ConfigError, match=r"`hydra\.sweeper\.n_trials` to be at least 1, got 0"):
        _prepare("hydra.sweeper.n_trials=0")


def test_fewer_trials_than_are_done_is_told_with_the_best():
    for _ in range(3):
        _done()
    told = r"3 trials are done, n_trials=2 asks for no more\. Raise it: hydra\.sweeper\.n_trials=5"
    best = r"\. The best so far: 0\.5 with schedule\.body=0\.25 schedule\.head=0\.25\.\Z"
    with pytest.raises(StudyDone, match=told + best):
        _prepare("hydra.sweeper.n_trials=2")


def test_a_grid_asks_for_its_points_and_begins_no_second_time():
    assert _prepare(*GRID).n_trials == 4  # not the 20 of the configuration
    _run_grid(3)
    assert _prepare(*GRID).n_trials == 1
    assert _prepare(*GRID, "hydra.sweeper.n_trials=4").n_trials == 1
    with pytest.raises(StudyDone, match="3 trials are done, n_trials=3 asks for no more"):
        _prepare(*GRID, "hydra.sweeper.n_trials=3")
    _run_grid(1)
    with pytest.raises(StudyDone, match=r"rates: all points of the grid are done\. For another"):
        _prepare(*GRID)


@pytest.mark.parametrize(
    ("process", "running"),
    [
        ({"pid": 2**22 + 1}, 0),  # no process has this number
        ({"pid": os.getppid(), "began": 1}, 0),  # another one has it now
        ({"pid": os.getppid(), "began": None}, 1),
        ({"host": "another", "name": "node7"}, 1),
    ],
    ids=str,
)
def test_a_killed_point_of_a_grid_is_still_to_run(process, running):
    _prepare(*GRID)
    _run_grid(3)
    _ask()
    study = _study()
    study.set_user_attr("thinned:process", study.user_attrs["thinned:process"] | process)
    assert _prepare(*GRID).n_trials == 1
    assert [one.state.name for one in _study().trials].count("RUNNING") == running


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("interval(0,0.7)", r"choices for the grid, got `schedule.head` as a number in \[0, 0.7\]"),
        ("none,0.1", "the choices of each setting to be all numbers or all names"),
    ],
)
def test_what_is_no_grid_is_refused(head, why):
    with pytest.raises(ConfigError, match=why):
        _prepare(*GRID[:2], f"schedule.head={head}")


def test_each_start_of_a_search_has_a_seed_of_its_own():
    assert _prepare().sampler.seed == 0
    _done()
    assert _prepare().sampler.seed == 1
    assert _prepare("hydra.sweeper.sampler.seed=7").sampler.seed == 8


def _run_grid(trials):
    for _ in range(trials):
        study, trial = _ask()
        with contextlib.suppress(RuntimeError):  # as Hydra's sweeper does: the grid is at its end
            study.tell(trial, 0.5)


def _ask():
    import optuna

    space = {"schedule.body": [0.1, 0.2], "schedule.head": [0.3, 0.4]}
    study = optuna.load_study(
        study_name="rates",
        storage="sqlite:///multirun/rates.db",
        sampler=optuna.samplers.GridSampler(space),
    )
    trial = study.ask()
    for name, choices in space.items():
        trial.suggest_categorical(name, choices)
    return study, trial
