"""What `compare` may be given, and which metrics it takes by itself."""

import math

import pytest

from helpers import records
from thinned.report import compare, read_run

GAP = "overfit/gap/val_loss"


def write_two(root, **options):
    for value in ("none", "late"):
        records.write_run(root / value, overrides=[f"schedule={value}"], **options)
    return root


def titles(found):
    return [column.title for column in found.columns]


def test_folders_records_and_both_together(tmp_path):
    write_two(tmp_path)
    none, late = tmp_path / "none", tmp_path / "late"
    for given in (
        (path for path in (none, late)),
        (read_run(path) for path in (none, late)),
        [read_run(none), late],
        [late, read_run(none)],
    ):
        assert {arm.label for arm in compare(given).arms} == {"schedule=none", "schedule=late"}


def test_records_alone_are_not_searched_for(tmp_path, monkeypatch):
    monkeypatch.chdir(write_two(tmp_path))
    assert len(compare([read_run("none")]).runs) == 1


def test_nothing_given_is_no_run():
    with pytest.raises(FileNotFoundError):
        compare([])


def test_a_run_that_cannot_be_read_keeps_its_name(tmp_path):
    write_two(tmp_path)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "metrics.csv").write_text("step,val_loss\n1," + "9" * 200_000)
    (torn,) = (run for run in compare(tmp_path).runs if run.state == "failed")
    assert (torn.record.name, torn.values, torn.best_epoch) == ("torn", {}, None)


def test_the_best_of_a_run_is_never_a_nan(tmp_path):
    found = compare(write_two(tmp_path, losses=(math.nan, 0.5, 0.4, math.nan, 0.6)))
    assert found.runs[0].values == {"val_loss (best)": 0.4, "val_loss (last)": 0.6}
    assert found.runs[0].best_epoch == 2


def test_a_loss_of_the_validation_decides_where_nothing_was_monitored(tmp_path):
    more = {"train_loss": [0.1], GAP: [0.4], "val/loss": [0.7], "other_loss": [0.2]}
    found = compare(write_two(tmp_path, losses=(1,), metric="acc", monitor=None, more=more))
    assert found.main.key == "val/loss"


def test_the_mode_of_a_metric_is_that_of_runs_which_monitor_it(tmp_path):
    write_two(tmp_path, losses=(0.5,), more={"val_acc": [0.5]})
    assert compare(tmp_path).main.mode == "min"
    assert compare(tmp_path, metric="val_acc").main.mode == "max"  # by its name
    assert compare(tmp_path, metric="val_acc", mode="min").main.mode == "min"


def test_four_further_metrics_and_the_gap_unless_others_are_asked_for(tmp_path):
    more = {f"val_{letter}": [0.5] for letter in "abcdef"}
    write_two(tmp_path, losses=(0.5,), more={**more, GAP: [0.1], "train_acc": [0.5]})
    own = ["val_loss (best)", "val_loss (last)"]
    four = [f"val_{letter} (best)" for letter in "abcd"]
    assert titles(compare(tmp_path)) == [*own, *four, f"{GAP} (best)"]
    assert titles(compare(tmp_path, metrics=["val_f", GAP])) == [
        *own,
        "val_f (best)",
        f"{GAP} (best)",
    ]
    assert titles(compare(tmp_path, metrics=[])) == own
    assert titles(compare(write_two(tmp_path / "plain", losses=(0.5,)))) == own


def test_a_gap_is_better_neither_lower_nor_higher(tmp_path):
    write_two(tmp_path, losses=(0.5,), more={"val_acc": [0.5], GAP: [0.1]})
    assert [column.mode for column in compare(tmp_path).columns] == ["min", "min", "max", None]


def test_all_errors_are_counted_where_nothing_was_measured(tmp_path):
    failed = {"losses": (), "end": "failed"}
    said = "No run logged a validation loss: "
    records.write_run(tmp_path / "a", **failed)
    with pytest.raises(ValueError, match=f"{said}1 of 1 runs failed, with no error was written$"):
        compare(tmp_path)
    records.write_run(tmp_path / "b", **failed, error="OSError: gone")
    with pytest.raises(ValueError, match=r"with no error was written \(and 1 other error\)$"):
        compare(tmp_path)
    records.write_run(tmp_path / "c", **failed, error="OSError: gone")
    records.write_run(tmp_path / "d", **failed, error="ValueError: wrong")
    records.write_run(tmp_path / "e", ())
    with pytest.raises(ValueError, match=r"4 of 5 runs failed, .* \(and 2 other errors\)$"):
        compare(tmp_path)


def test_what_to_do_without_a_validation_loss(tmp_path):
    records.write_run(tmp_path / "a", ())
    with pytest.raises(ValueError, match=r"Log one with `self.log` in `validation_step`"):
        compare(tmp_path)
    records.write_run(tmp_path / "b", (0.5,), metric="acc", monitor=None)
    records.write_run(tmp_path / "c", (), end="failed", error="OSError: gone")
    with pytest.raises(ValueError, match=r"Name what decides with `metric=`.*: one of acc"):
        compare(tmp_path)
