import csv
import io
import json
import math
import re

import pytest
from rich.console import Console

from helpers import records
from thinned.app._status import NAME
from thinned.report import (
    compare,
    exit_code,
    find_records,
    process_mark,
    read_run,
    write_compare_page,
)
from thinned.report._comparison.table import state
from thinned.report._pages.compare_figures import curves, differences, means
from thinned.report._records.refused import STATUS_NAME

BETTER = {
    "none": {1: 0.50, 2: 0.60, 3: 0.55, 4: 0.52},
    "cosine": {1: 0.41, 2: 0.50, 3: 0.46, 4: 0.43},
    "late": {1: 0.48, 2: 0.59, 3: 0.54, 4: 0.50},
}
SAME = {
    "none": {1: 0.50, 2: 0.60, 3: 0.55, 4: 0.52},
    "cosine": {1: 0.52, 2: 0.57, 3: 0.56, 4: 0.50},
}


def test_finds_the_better_arm(tmp_path):
    found = compare(records.write_sweep(tmp_path, BETTER))
    assert [arm.label for arm in found.arms] == [
        "schedule=none",
        "schedule=cosine",
        "schedule=late",
    ]
    assert (found.baseline, found.best, found.chosen) == (
        "schedule=none",
        "schedule=cosine",
        "schedule=cosine",
    )
    assert found.significant
    change = found.arm("schedule=cosine").differences["val_loss (best)"]
    assert change.paired
    assert change.mean == pytest.approx(-0.0925)
    assert found.conclusion == (
        "schedule=cosine lowers val_loss by 0.0925 (17%) against schedule=none"
    )
    assert found.action == "Use schedule=cosine."


def test_says_so_when_there_is_no_difference(tmp_path):
    found = compare(records.write_sweep(tmp_path, SAME))
    assert not found.significant
    assert found.chosen == "schedule=none"
    assert found.conclusion.startswith("No significant difference: schedule=cosine has the best")


def test_says_so_when_the_baseline_is_best(tmp_path):
    worse = {"none": BETTER["cosine"], "cosine": BETTER["none"]}
    found = compare(records.write_sweep(tmp_path, worse))
    assert found.best == "schedule=none"
    assert found.conclusion == (
        "schedule=none has the best val_loss, and the only other is significantly worse"
    )
    worse["late"] = BETTER["none"]
    assert compare(records.write_sweep(tmp_path, worse)).conclusion == (
        "schedule=none has the best val_loss, and all others are significantly worse"
    )


def test_one_seed_has_no_error_bar(tmp_path):
    found = compare(records.write_sweep(tmp_path, {"none": {1: 0.5}, "cosine": {1: 0.4}}))
    assert not found.significant
    assert "one seed has no error bar" in found.conclusion
    assert "seed=1,2,3,4,5" in found.action


def test_the_smallest_rate_within_one_error_is_chosen(tmp_path):
    rates = {
        "0.0": {1: 0.60, 2: 0.70, 3: 0.64},
        "0.5": {1: 0.50, 2: 0.60, 3: 0.55},
        "0.3": {1: 0.52, 2: 0.59, 3: 0.55},
    }
    found = compare(records.write_sweep(tmp_path, rates, key="schedule.rate"))
    assert [arm.number for arm in found.arms] == [0.0, 0.3, 0.5]
    assert found.best == "schedule.rate=0.5"
    assert found.chosen == "schedule.rate=0.3"
    assert "interferes less" in found.action


def test_what_the_best_arm_shows_is_told_though_a_less_sure_one_is_chosen(tmp_path):
    rates = {
        "0.0": {1: 0.60, 2: 0.70, 3: 0.64},
        "0.3": {1: 0.58, 2: 0.52, 3: 0.55},  # as good as the best one, and not shown to be better
        "0.5": {1: 0.50, 2: 0.60, 3: 0.54},
    }
    found = compare(records.write_sweep(tmp_path, rates, key="schedule.rate"))
    assert (found.best, found.chosen) == ("schedule.rate=0.5", "schedule.rate=0.3")
    assert not found.arm(found.chosen).differences["val_loss (best)"].significant
    assert found.significant
    assert found.conclusion.startswith("schedule.rate=0.5 lowers val_loss by 0.1 (")
    assert exit_code(found, ["no improvement"]) == 0
    page = write_compare_page(found).read_text("utf-8")
    assert "significantly better</span>" in page


def test_each_further_arm_costs_evidence(tmp_path):
    better = {1: 0.43, 2: 0.56, 3: 0.52, 4: 0.50}
    alone = {"none": BETTER["none"], "cosine": better}
    others = {f"late-{i}": BETTER["none"] for i in range(4)}
    title = "val_loss (best)"
    one = compare(records.write_sweep(tmp_path / "a", alone))
    of_five = compare(records.write_sweep(tmp_path / "b", alone | others))
    p = [found.arm("schedule=cosine").differences[title].p for found in (one, of_five)]
    assert p[1] == pytest.approx(5 * p[0])  # Holm's, of the smallest of five
    assert one.significant
    assert not of_five.significant


def test_of_arms_as_good_as_the_best_the_baseline_is_chosen_then_the_better(tmp_path):
    arms = {
        "cosine": {1: 0.50, 2: 0.60, 3: 0.55},
        "late": {1: 0.505, 2: 0.59, 3: 0.56},
        "early": {1: 0.51, 2: 0.58, 3: 0.55},
    }
    root = records.write_sweep(tmp_path, arms)
    for name in arms:
        assert compare(root, baseline=name).chosen == f"schedule={name}"
    worse = {"none": {1: 0.9, 2: 1.0, 3: 0.95}}
    found = compare(records.write_sweep(tmp_path / "more", arms | worse))
    assert (found.best, found.chosen) == ("schedule=early", "schedule=early")


def test_the_smallest_rate_is_the_baseline_where_all_drop(tmp_path):
    rates = {"0.5": {1: 0.5, 2: 0.6}, "1e-1": {1: 0.5, 2: 0.6}}  # in the order of their folders
    found = compare(records.write_sweep(tmp_path, rates, key="schedule.rate"))
    assert found.baseline == "schedule.rate=1e-1"


def test_runs_without_a_seed_are_each_a_run_of_its_own(tmp_path):
    for i, loss in enumerate((0.5, 0.6, 0.7)):
        records.write_run(tmp_path / f"{i}", (1.0, loss), overrides=["schedule=none"])
    (arm,) = compare(tmp_path).arms
    assert arm.estimates["val_loss (best)"].n == 3


def test_what_the_runs_watched_decides_and_no_other_loss(tmp_path):
    more = {"aux_loss": [0.1, 0.2]}
    records.write_run(tmp_path / "a", (0.5, 0.6), metric="val_acc", more=more, mode="max")
    assert compare(tmp_path).main.key == "val_acc"


def test_crashed_failed_and_running_runs_enter_no_mean(tmp_path):
    root = records.write_sweep(tmp_path, SAME)
    common = {"overrides": ["schedule=none"], "seed": 9}
    records.write_run(root / "x-crashed", (0.1,), end=None, **common)
    records.write_run(root / "x-failed", (0.1,), end="failed", error="OSError: gone", **common)
    alive = process_mark()
    records.write_run(root / "x-running", (0.1,), end=None, process=alive, **common)
    found = compare(root)
    arm = found.arm("schedule=none")
    assert arm.estimates["val_loss (best)"].n == 4
    assert [arm.count(status) for status in ("finished", "crashed", "failed", "running")] == [
        4,
        1,
        1,
        1,
    ]
    assert "Not in the means: 1 running, 1 failed, 1 crashed, of 11 runs." in found.evidence
    assert exit_code(found, ["failed"]) == 1
    assert exit_code(found, ["running"]) == 1


def test_of_an_interrupted_sweep_it_is_told_what_there_is(tmp_path):
    records.write_run(tmp_path / "a", end=None, overrides=["schedule=none"])
    records.write_run(tmp_path / "b", end="interrupted", overrides=["schedule=late"])
    records.write_run(tmp_path / "c", (), end="interrupted", overrides=["schedule=early"])
    found = compare(tmp_path)
    assert found.best is None
    assert found.conclusion == "None of the 3 runs has come to its end: 1 crashed, 2 interrupted"
    so_far = "schedule=none 0.5 (epoch 1), schedule=late 0.5 (epoch 1)."
    assert found.evidence == [f"Best val_loss so far, in no mean: {so_far}"]
    assert found.action == "Run them again, to their end."
    assert "schedule=late" in write_compare_page(found, tmp_path / "page.html").read_text("utf-8")


def test_of_a_sweep_that_goes_on_or_failed_the_action_is_another(tmp_path):
    alone = compare(records.write_run(tmp_path / "a", end="failed", error="OSError: gone"))
    assert alone.conclusion == "The run has not come to its end: 1 failed"
    assert alone.action.startswith("See why they failed")
    mine = process_mark()
    records.write_run(tmp_path / "b", end=None, process=mine, overrides=["schedule=late"])
    assert compare(tmp_path).action == "Compare again when those that run have ended."


def _pruned(folder, how):
    records.write_run(
        folder,
        (1.0, 9.0, 9.0),
        end="failed" if how == "optuna" else "finished",
        error="TrialPruned: " if how == "optuna" else None,
        overrides=["schedule=none", "seed=3"],
        seed=3,
        rates=False,
    )
    if how == "halving":
        status = {"status": "finished", "overrides": [], "stopped_at": 3}
        (folder / "status.json").write_text(json.dumps(status))


@pytest.mark.parametrize("how", ["halving", "optuna"])
def test_what_was_stopped_since_others_were_better_is_in_no_mean(tmp_path, how):
    records.write_sweep(tmp_path, {"none": {1: 0.5, 2: 0.6}, "late": {1: 0.4, 2: 0.5}})
    _pruned(tmp_path / "stopped", how)
    found = compare(tmp_path)
    none = found.arm("schedule=none")
    assert none.estimates["val_loss (best)"].mean == pytest.approx(0.55)
    assert state(none) == "2, 1 stopped"
    assert "Not in the means: 1 stopped, of 5 runs." in found.evidence
    assert exit_code(found, ["failed"]) == 0
    rows = list(csv.DictReader(found.to_csv(tmp_path / "runs.csv").read_text().splitlines()))
    assert [row["status"] for row in rows].count("stopped") == 1


@pytest.mark.parametrize(
    ("end", "losses"), [("finished", (0.5, math.nan)), ("interrupted", (0.5, 0.4)), (None, (0.5,))]
)
def test_failed_is_all_that_came_to_no_good_end(tmp_path, end, losses):
    record = read_run(records.write_run(tmp_path / "a", losses, end=end))
    assert exit_code(record, ["failed"]) == 1
    assert exit_code(compare([record]), ["failed"]) == 1
    assert exit_code(record, ["running"]) == 0


def test_a_baseline_without_a_finished_run_is_told(tmp_path):
    records.write_run(tmp_path / "a", end=None, overrides=["schedule=none"])
    records.write_run(tmp_path / "b", overrides=["schedule=late"])
    assert "schedule=none has no finished run" in compare(tmp_path).conclusion


def test_runs_of_one_seed_count_once(tmp_path):
    root = records.write_sweep(tmp_path, SAME)
    records.write_run(root / "again", (1.0, 0.52), seed=1, overrides=["schedule=none", "seed=1"])
    mean = compare(root).arm("schedule=none").estimates["val_loss (best)"]
    assert mean.n == 4
    assert mean.mean == pytest.approx((0.51 + 0.60 + 0.55 + 0.52) / 4)


def test_accuracy_is_better_when_higher(tmp_path):
    for value, accuracies in {"none": (0.7, 0.72, 0.71), "late": (0.8, 0.83, 0.82)}.items():
        for seed, accuracy in enumerate(accuracies):
            folder = tmp_path / f"{value}{seed}"
            overrides = [f"schedule={value}"]
            options = {"metric": "val_acc", "seed": seed, "overrides": overrides}
            records.write_run(folder, (0.1, accuracy, 0.3), **options)
    found = compare(tmp_path, mode="max")
    assert found.best == "schedule=late"
    assert "raises val_acc by 0.107" in found.conclusion
    assert compare(tmp_path, metric="val_acc").main.mode == "min"  # what the runs say comes first


def test_further_metrics_are_taken_at_the_best_epoch(tmp_path):
    more = {"val_acc": [0.1, 0.9, 0.2], "overfit/gap/val_loss": [0.0, 0.3, 0.6], "lr": [1, 1, 1]}
    for value in ("none", "late"):
        records.write_run(tmp_path / value, (1.0, 0.5, 0.6), more=more, overrides=[f"a={value}"])
    found = compare(tmp_path)
    assert [column.title for column in found.columns] == [
        "val_loss (best)",
        "val_loss (last)",
        "val_acc (best)",
        "overfit/gap/val_loss (best)",
    ]
    run = found.runs[0]
    assert run.best_epoch == 1
    assert list(run.values.values()) == [0.5, 0.6, 0.9, 0.3]


def test_a_chosen_baseline_and_a_wrong_one(tmp_path):
    root = records.write_sweep(tmp_path, BETTER)
    assert compare(root, baseline="late").baseline == "schedule=late"
    assert compare(root, baseline="schedule=late").baseline == "schedule=late"
    with pytest.raises(ValueError, match=r"`baseline`.*'schedule=late'.*Did you mean 'late'"):
        compare(root, baseline="lat")


def test_a_wrong_metric_names_the_logged_ones(tmp_path):
    root = records.write_sweep(tmp_path, SAME)
    with pytest.raises(ValueError, match=r"`metric` to be one of 'val_loss', got 'val_los'"):
        compare(root, metric="val_los")


def test_no_metric_at_all_says_so(tmp_path):
    records.write_run(tmp_path / "a", (), monitor=None)
    with pytest.raises(ValueError, match="No run logged a validation loss"):
        compare(tmp_path)


def test_arms_by_a_named_setting(tmp_path):
    records.write_run(tmp_path / "a", config={"model": {"width": 8}, "x": 1})
    records.write_run(tmp_path / "b", config={"model": {"width": 9}, "x": 2})
    found = compare(tmp_path, by=["model.width"])
    assert [arm.label for arm in found.arms] == ["model.width=8", "model.width=9"]


def test_a_single_arm_has_nothing_to_compare_with(tmp_path):
    root = records.write_sweep(tmp_path, {"none": SAME["none"]})
    found = compare(root)
    assert found.baseline is None
    assert "nothing to compare it with" in found.conclusion
    assert found.arms[0].label == "all runs"


def test_table_csv_and_json_agree(tmp_path):
    found = compare(records.write_sweep(tmp_path / "runs", BETTER))
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(found.table())
    drawn = console.export_text()
    assert "cosine ←" in drawn
    assert "0.450 ± 0.020" in drawn
    assert "\u22120.0925 ± 0.0025" in drawn
    with found.to_csv(tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert {row["status"] for row in rows} == {"finished"}
    first = next(row for row in rows if row["schedule"] == "cosine" and row["seed"] == "1")
    assert float(first["val_loss (best)"]) == 0.41
    told = json.loads(found.to_json(tmp_path / "c.json").read_text())
    assert told["chosen"] == "schedule=cosine"
    assert told["significant"] is True
    arm = next(arm for arm in told["arms"] if arm["label"] == "schedule=cosine")
    assert arm["means"]["val_loss (best)"]["mean"] == pytest.approx(0.45)
    assert arm["differences"]["val_loss (best)"]["significant"] is True
    assert len(arm["runs"]) == 4


def test_zero_is_in_the_picture_of_differences_and_each_arm_has_a_row(tmp_path):
    drawn = differences(compare(records.write_sweep(tmp_path / "runs", BETTER)))["layout"]
    assert drawn["xaxis"]["rangemode"] == "tozero"
    assert drawn["yaxis"]["range"] == [1.5, -0.5]  # two arms beside the baseline


def test_the_page_shows_the_difference_beside_the_mean(tmp_path):
    found = compare(records.write_sweep(tmp_path / "runs", BETTER))
    page = write_compare_page(found).read_text("utf-8")
    heads = re.findall(r'<th scope="col"><button type="button">([^<]*)', page)
    assert heads[:5] == ["arm", "runs", "val_loss (best)", "difference", "95% interval"]
    assert "Which one lowers val_loss?" in page
    more = compare(found.runs[0].record.folder.parent, mode="max")
    assert "Which one raises val_loss?" in write_compare_page(more).read_text("utf-8")


def test_a_narrow_terminal_gets_fewer_columns(tmp_path):
    found = compare(records.write_sweep(tmp_path / "runs", BETTER))
    wide, narrow = found.table(200), found.table(60)
    assert len(narrow.columns) < len(wide.columns)
    assert [column.header.plain for column in narrow.columns[:2]] == ["schedule", "runs"]


def test_other_data_is_said_to_be_no_comparison(tmp_path):
    found = compare(records.write_sweep(tmp_path / "data", BETTER, key="data"))
    assert found.conclusion.startswith("The runs differ in their data")
    assert found.action == "Compare the runs of one data set at a time: give their folders."
    assert (found.best, found.chosen, found.significant) == (None, None, False)
    page = write_compare_page(found).read_text("utf-8")
    assert "better" not in page.split('id="answer"')[1].split("</section>")[0]
    found = compare(records.write_sweep(tmp_path / "schedule", BETTER))
    assert "data" not in found.conclusion
    assert compare(tmp_path / "schedule", by=["schedule"]).significant


def test_names_with_markup_stay_text(tmp_path):
    for value in ("[red]a", "[/]b"):
        folder = tmp_path / f"run{value[-1]}"
        records.write_run(folder, overrides=[f"schedule={value}"])
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(compare(tmp_path).table())
    drawn = console.export_text()
    assert "[red]a" in drawn
    assert "[/]b" in drawn


def test_exit_codes(tmp_path):
    better = compare(records.write_sweep(tmp_path / "better", BETTER))
    same = compare(records.write_sweep(tmp_path / "same", SAME))
    assert exit_code(better, ["no improvement", "failed"]) == 0
    assert exit_code(same, ["no improvement"]) == 1
    with pytest.raises(ValueError, match="Did you mean 'no improvement'"):
        exit_code(same, ["no improvements"])


NAN = float("nan")


def write_one(folder, losses, schedule, seed, **more):
    overrides = [f"schedule={schedule}", f"seed={seed}"]
    return records.write_run(folder, losses, seed=seed, overrides=overrides, **more)


def test_diverged_runs_are_in_no_mean_and_no_baseline(tmp_path):
    records.write_sweep(tmp_path, {key: BETTER[key] for key in ("cosine", "late")})
    for seed in (1, 2):
        write_one(tmp_path / f"none-{seed}", (NAN, NAN), "none", seed)
    write_one(tmp_path / "cosine-9", (0.1, 0.2, NAN), "cosine", 9)
    found = compare(tmp_path)
    assert found.baseline == "schedule=cosine"
    assert found.arm("schedule=cosine").estimates["val_loss (best)"].n == 4
    assert "Not in the means: 3 diverged, of 11 runs." in found.evidence
    assert "Not tested: schedule=none (diverged)." in found.evidence
    drawn = Console(width=120, record=True, file=io.StringIO())
    drawn.print(found.table())
    assert "0, 2 diverged" in drawn.export_text()
    run = next(run for run in found.runs if run.record.seed == 9)
    assert run.values == {"val_loss (best)": 0.1}  # it has no last value
    assert set(curves(found)[0]) == {"curve0", "curve2"}  # an empty panel shows nothing


def test_what_is_not_finite_is_in_no_mean_of_a_further_metric(tmp_path):
    for schedule in ("none", "late"):
        for seed in (1, 2):
            more = {"val_auc": [NAN if seed == 2 else 0.5]}
            write_one(tmp_path / f"{schedule}-{seed}", (0.1 * seed,), schedule, seed, more=more)
    arm = compare(tmp_path).arm("schedule=late")
    assert arm.estimates["val_auc (best)"].n == 1
    assert arm.differences["val_auc (best)"].p is None


def test_only_diverged_runs_are_told(tmp_path):
    for schedule in ("none", "late"):
        write_one(tmp_path / schedule, (NAN,), schedule, 1)
    found = compare(tmp_path)
    assert found.conclusion == "No run ended with a finite val_loss: 2 of 2 diverged"
    assert "Lower the learning rate" in found.action
    records.write_sweep(tmp_path, {"late": {2: 0.5}})
    assert "schedule=none diverged" in compare(tmp_path).conclusion
    asked = compare(tmp_path, baseline="late")
    assert "no other arm has a finished run" in asked.conclusion
    assert asked.action.startswith("Lower the learning rate")


def test_what_was_not_tested_is_named(tmp_path):
    arms = {"none": BETTER["cosine"], "cosine": BETTER["none"], "late": {1: 0.6}}
    found = compare(records.write_sweep(tmp_path, arms))
    assert found.conclusion == (
        "schedule=none has the best val_loss, and the only other that could be tested is "
        "significantly worse"
    )
    assert "Not tested: schedule=late (1 seed)." in found.evidence
    arms = {**BETTER, "late": {1: 0.6}}
    found = compare(records.write_sweep(tmp_path / "better", arms))
    assert "Not tested: schedule=late (1 seed)." in found.evidence


def test_a_run_without_a_validation_is_none_of_the_means(tmp_path):
    sweep = records.write_sweep(tmp_path, SAME)
    write_one(sweep / "none-9", (), "none", 9)
    found = compare(sweep)
    none = found.arm("schedule=none")
    assert none.estimates["val_loss (best)"].n == 4
    assert state(none) == "4, 1 unmeasured"
    assert "Not in the means: 1 unmeasured, of 9 runs." in found.evidence
    write_one(sweep / "late-1", (), "late", 1)
    assert "Not tested: schedule=late (unmeasured)." in compare(sweep).evidence
    asked = compare(sweep, baseline="late")
    assert asked.conclusion.startswith("The baseline schedule=late has no run with val_loss")


def test_when_all_failed_it_is_said_with_what(tmp_path):
    for seed in (1, 2):
        error = "ValueError: Invalid learning rate: -1"
        write_one(tmp_path / str(seed), (), "none", seed, end="failed", error=error)
    with pytest.raises(ValueError, match="2 of 2 runs failed, with ValueError: Invalid learning"):
        compare(tmp_path)


def test_without_a_loss_the_option_is_named(tmp_path):
    records.write_run(tmp_path / "a", (0.5,), metric="val_acc", monitor=None)
    with pytest.raises(ValueError, match=r"`metric=`.* --metric: one of val_acc"):
        compare(tmp_path)


def write_refused(folder, seed, status="failed"):
    folder.mkdir(parents=True)
    overrides = ["schedule=late", f"seed={seed}"]
    said = {"status": status, "overrides": overrides, "error": "ConfigError: Expected a rate."}
    (folder / "status.json").write_text(json.dumps(said))


def test_jobs_refused_before_training_are_counted(tmp_path):
    assert STATUS_NAME == NAME
    records.write_sweep(tmp_path, {"none": {1: 0.5, 2: 0.6}})
    write_refused(tmp_path / "refused", 1)
    write_refused(tmp_path / "going", 2, status="running")
    write_refused(tmp_path / "logged", 3)
    records.write_run(tmp_path / "logged" / "deeper", overrides=["schedule=none"])
    found = compare(tmp_path)
    assert len(found.runs) == 4
    assert "Not in the means: 1 failed, of 4 runs." in found.evidence
    assert found.arm("schedule=late").runs[0].record.error == "ConfigError: Expected a rate."
    assert "no other arm has a finished run" in found.conclusion
    with pytest.raises(ValueError, match="1 of 1 runs failed, with ConfigError: Expected a rate"):
        compare(tmp_path / "refused")


def test_what_cannot_be_read_is_listed_and_hides_no_other(tmp_path):
    records.write_sweep(tmp_path, {"none": {1: 0.5, 2: 0.6}})
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "metrics.csv").write_text("step,val_loss\n1," + "9" * 200_000)
    found = compare(tmp_path)
    assert [run.state for run in found.runs].count("failed") == 1
    assert "field larger" in next(run.record.error for run in found.runs if run.record.error)


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"by": ["sched"]}, "`by`.*which none has. Did you mean 'schedule'"),
        ({"metrics": ["val_los"]}, "`metrics`.*Did you mean 'val_loss'"),
    ],
)
def test_wrong_names_are_refused(tmp_path, asked, match):
    with pytest.raises(ValueError, match=match):
        compare(records.write_sweep(tmp_path, SAME), **asked)


def test_files_go_into_new_folders(tmp_path):
    found = compare(records.write_sweep(tmp_path / "runs", SAME))
    assert found.to_csv(tmp_path / "new" / "a.csv").exists()
    assert found.to_json(tmp_path / "other" / "a.json").exists()


def test_a_single_arm_has_a_name_in_the_table(tmp_path):
    found = compare(records.write_sweep(tmp_path, {"none": SAME["none"]}))
    assert next(iter(found.table().columns[0].cells)).plain == "all runs ←"


def test_names_below_the_axis_have_a_line_for_each_setting(tmp_path):
    for i, (name, width) in enumerate([("none", 8), ("late", 8), ("late", 9)]):
        overrides = [f"schedule={name}", f"width={width}"]
        records.write_run(tmp_path / str(i), overrides=overrides)
    drawn = means(compare(tmp_path))
    assert drawn["data"][1]["x"] == ["none<br>8", "late<br>8", "late<br>9"]
    assert drawn["layout"]["xaxis"]["autotickangles"] == [0, 90]


def test_logs_below_a_record_are_no_further_runs(tmp_path, monkeypatch):
    records.write_run(tmp_path / "a" / "0")
    records.write_run(tmp_path / "a" / "0" / "fold")
    for folder in ("a/0/csv/version_0", "b"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "metrics.csv").write_text("epoch,step,val_loss\n0,1,0.5\n")
    names = [path.relative_to(tmp_path).as_posix() for path in find_records(tmp_path)]
    assert names == ["a/0", "a/0/fold", "b"]
    monkeypatch.chdir(tmp_path)
    assert [str(path) for path in find_records(".")] == names


def test_one_folder_under_two_names_is_one(tmp_path, monkeypatch):
    records.write_run(tmp_path / "runs" / "a")
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    asked = ["runs", tmp_path / "runs", "link", "runs/a/record.jsonl", "runs/a"]
    assert [str(path) for path in find_records(asked)] == ["runs/a"]


def test_only_offline_runs_of_wandb_say_what_to_do(tmp_path):
    (tmp_path / "wandb" / "offline-run").mkdir(parents=True)
    (tmp_path / "wandb" / "offline-run" / "run-1.wandb").touch()
    with pytest.raises(FileNotFoundError, match=r"offline-run is an offline run of W&B.*CSVLogger"):
        find_records(tmp_path)


def test_finds_runs_in_natural_order(tmp_path):
    for name in ("run_10", "run_9", ".hidden/run_1", "deep/er/run_2"):
        records.write_run(tmp_path / name)
    names = [path.relative_to(tmp_path).as_posix() for path in find_records(tmp_path)]
    assert names == ["deep/er/run_2", "run_9", "run_10"]
    assert find_records([tmp_path, tmp_path / "run_9"])[-1] == tmp_path / "run_10"


def test_no_runs_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="Found no run below"):
        find_records(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"found nothing at .*missing"):
        find_records(tmp_path / "missing")
