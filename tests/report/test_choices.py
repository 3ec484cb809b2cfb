from pathlib import Path

import pytest

from thinned.report import Record
from thinned.report._comparison.choices import choices, label, number


def runs(*overrides, configs=()):
    records = [Record(Path("r"), overrides=each.split()) for each in overrides]
    return records + [Record(Path("r"), config=each) for each in configs]


def test_what_varies_makes_the_arms():
    found = choices(
        runs("data=wine schedule=none seed=1", "data=wine schedule=late seed=1", "data=wine seed=2")
    )
    assert found == [{"schedule": "none"}, {"schedule": "late"}, {"schedule": "default"}]


@pytest.mark.parametrize(
    "incidental",
    ["seed", "name", "hydra.run.dir", "logger", "logger.wandb.id", "trainer.devices", "out_dir"],
)
def test_what_says_nothing_of_the_model_makes_none(incidental):
    assert choices(runs(f"a=1 {incidental}=x", f"a=1 {incidental}=y")) == [{}, {}]


def test_without_overrides_the_configurations_are_compared():
    configs = [{"model": {"dropout": 0.1}, "seed": 1}, {"model": {"dropout": 0.2}, "seed": 1}]
    assert choices(runs(configs=configs)) == [{"model.dropout": "0.1"}, {"model.dropout": "0.2"}]


def test_an_interpolated_copy_is_no_second_setting():
    configs = [{"schedule": {"end": e}, "callbacks": {"dropout": {"end": e}}} for e in (0.1, 0.2)]
    assert choices(runs(configs=configs)) == [{"schedule.end": "0.1"}, {"schedule.end": "0.2"}]


def test_added_overrides_and_quotes_are_read():
    assert choices(runs("+x='a b'".replace(" ", "_"), "++x=c")) == [{"x": "a_b"}, {"x": "c"}]


def test_sampled_numbers_are_short_and_stay_apart():
    found = choices(runs("rate=0.3745401188473625", "rate=0.30000000000000004"))
    assert found == [{"rate": "0.3745"}, {"rate": "0.3"}]
    found = choices(runs("rate=0.3745401188473625", "rate=0.3745491188473625"))
    assert found == [{"rate": "0.37454"}, {"rate": "0.374549"}]
    assert choices(runs("n=10000001", "n=10000002")) == [{"n": "10000001"}, {"n": "10000002"}]


def test_a_setting_that_no_run_has_is_refused():
    with pytest.raises(ValueError, match=r"got 'seeed'.*mean 'seed'\? The runs differ in: 'a'\."):
        choices(runs("a=1 seed=1", "a=2 seed=1"), by=["seeed"])
    assert choices(runs("a=1 seed=1"), by=["a", "seed"]) == [{"a": "1", "seed": "1"}]


def test_labels_and_numbers():
    assert label({"a": "1", "b": "x"}) == "a=1 b=x"
    assert label({}) == "all runs"
    assert [number({"rate": value}) for value in ("none", "0.5", "late")] == [0.0, 0.5, None]
    assert number({"a": "1", "b": "2"}) is None
