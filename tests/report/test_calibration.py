"""Predictions of many masks beside plain ones, in the report of a run."""

import plotly.graph_objects as go
import pytest

from helpers import records
from thinned.report import RecordWriter, read_run, write_page
from thinned.report._pages.calibration import calibration_figures, calibration_rows
from thinned.report._pages.palette import coloured

SCORES = {
    "ece": 0.05,
    "nll": 0.3,
    "brier": 0.14,
    "aurc": 0.01,
    "bins": [[0, 0.0, 0.0], [10, 0.45, 0.5], [90, 0.9, 0.8]],
    "curve": [[0.5, 0.0], [1.0, 0.23]],
}
ROW = {"stage": "test", "step": 30, "samples": 20, "rows": 100}


def written(folder, **changed):
    records.write_run(folder)
    sampled = {**SCORES, "ece": 0.02, **changed}
    RecordWriter(folder).write("calibration", **ROW, plain=SCORES, sampled=sampled)
    return folder


def test_the_figures_show_what_was_scored(tmp_path):
    record = read_run(written(tmp_path / "a"))
    assert record.status == "finished"
    drawn = calibration_figures(record)
    assert set(drawn) == {"reliability", "risk"}
    reliable, risk = (figure for figure, _, _ in drawn.values())
    assert [each["name"] for each in reliable["data"]] == [
        "as sure as right",
        "one plain forward",
        "20 samples",
    ]
    assert reliable["data"][1]["x"] == [0.45, 0.9]  # empty bins have no point
    assert reliable["data"][1]["y"] == [0.5, 0.8]
    assert risk["data"][0]["x"] == [0.5, 1.0]
    assert risk["data"][0]["y"] == [0.0, 0.23]
    for figure, title, text in drawn.values():
        go.Figure(coloured(figure))
        assert title
        assert text.endswith(".")
    assert calibration_rows(record) == [
        ["one plain forward", 0.05, 0.3, 0.14, 0.01],
        ["20 samples", 0.02, 0.3, 0.14, 0.01],
    ]


def test_the_page_has_them_and_their_numbers(tmp_path):
    page = write_page(written(tmp_path / "a")).read_text()
    assert "Does it know when it is wrong?" in page
    assert "The numbers: As often right as sure?" in page
    assert '<th scope="col" class="n">confidence</th>' in page


def test_a_run_that_was_not_tested_so_has_none_of_it(tmp_path):
    folder = records.write_run(tmp_path / "a")
    assert read_run(folder).calibration is None
    assert "when it is wrong" not in write_page(folder).read_text()


@pytest.mark.parametrize(
    "changed",
    [
        {"ece": "high"},
        {"bins": [[1, 2]]},
        {"bins": [[1, 2, None]]},
        {"curve": 3},
        {"curve": [[float("nan"), 1.0]]},
    ],
)
def test_rows_that_are_not_ours_are_skipped(tmp_path, changed):
    record = read_run(written(tmp_path / "a", **changed))
    assert record.calibration is None
    assert record.skipped == 1
