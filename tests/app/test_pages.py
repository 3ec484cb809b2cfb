"""`thinned report` and `thinned compare` on finished runs: what they write, print and return."""

import json

import pytest

from helpers import records
from thinned.app.cli import main

RUNS = {"none": {0: 0.5, 1: 0.6, 2: 0.5}, "linear": {0: 0.4, 1: 0.5, 2: 0.4}}


@pytest.fixture
def sweep(tmp_path):
    return records.write_sweep(tmp_path / "runs", RUNS)


def test_the_page_of_a_run_goes_where_it_is_asked_to(sweep, tmp_path, capsys):
    run, page = sweep / "none-0", tmp_path / "out.html"
    assert main(["report", str(run), "--page", str(page)]) == 0
    assert "<html" in page.read_text("utf-8")
    assert "out.html" in "".join(capsys.readouterr().out.split())
    assert not (run / "report.html").exists()


def test_one_page_cannot_hold_several_runs(sweep, tmp_path, capsys):
    assert main(["report", str(sweep), "--page", str(tmp_path / "out.html")]) == 2
    err = capsys.readouterr().err
    assert "Expected one run with --page, got 6. Leave --page away." in err


@pytest.mark.parametrize("command", ["report", "compare"])
def test_no_page(command, sweep):
    assert main([command, str(sweep), "--no-page"]) == 0
    assert not list(sweep.rglob("*.html"))


def test_a_comparison_is_written_as_page_rows_and_json(sweep, tmp_path, capsys):
    names = {kind: tmp_path / f"all.{kind}" for kind in ("page", "csv", "json")}
    options = [word for kind, path in names.items() for word in (f"--{kind}", str(path))]
    assert main(["compare", str(sweep), *options]) == 0
    assert "<html" in names["page"].read_text("utf-8")
    assert len(names["csv"].read_text("utf-8").splitlines()) == 1 + 6
    assert json.loads(names["json"].read_text("utf-8"))["conclusion"] in capsys.readouterr().out


def test_a_wrong_condition_is_refused_before_a_page_is_written(sweep, capsys):
    assert main(["report", str(sweep), "--fail-on", "typo"]) == 2
    assert "Expected `fail_on` to be one of" in capsys.readouterr().err
    assert not list(sweep.rglob("*.html"))


def test_groups_by_several_settings(sweep, tmp_path):
    out = tmp_path / "all.json"
    words = ["compare", str(sweep), "--no-page", "--by", "schedule,seed", "--json", str(out)]
    assert main(words) == 0
    labels = [arm["label"] for arm in json.loads(out.read_text("utf-8"))["arms"]]
    assert len(labels) == 6
    assert "schedule=none seed=0" in labels


def test_what_fails_on_is_the_exit_code(sweep):
    assert main(["compare", str(sweep), "--no-page", "--fail-on", "failed"]) == 0
    run = records.write_run(sweep / "crashed", end="failed")
    assert main(["report", str(run), "--no-page", "--fail-on", "failed"]) == 1
    assert main(["compare", str(sweep), "--no-page", "--fail-on", "failed"]) == 1
