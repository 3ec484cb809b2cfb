import io

from rich.console import Console

from helpers import records
from thinned.report import read_run, summary


def drawn(record, page=None, width=100):
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(summary(record, page))
    return console.export_text()


def test_verdict_figures_rates_and_report_are_told(tmp_path):
    losses, more = records.overfitted()
    told = drawn(read_run(records.write_run(tmp_path / "a", losses, more=more)), tmp_path / "x")
    assert told.splitlines()[1].startswith("│ The run overfits")
    for part in ("best val_loss", "fair gap", "all 0.1", "x"):
        assert part in told
    assert "· " in told


def test_of_a_run_of_the_application_the_command_is_told(tmp_path):
    losses, more = records.overfitted()
    config = {"schedule": {"_target_": "thinned.schedules.Constant", "rate": 0.1}}
    record = read_run(
        records.write_run(tmp_path / "a", losses, more=more, config=config, overrides=["seed=1"])
    )
    assert "command              thinned train seed=1 schedule.rate=0.35" in drawn(record)
    assert "command  " not in drawn(read_run(records.write_run(tmp_path / "b", losses, more=more)))


def test_a_page_below_the_present_folder_is_told_from_there(tmp_path, monkeypatch):
    record = read_run(records.write_run(tmp_path / "runs" / "a"))
    monkeypatch.chdir(tmp_path)
    told = drawn(record, tmp_path / "runs" / "a" / "report.html")
    assert " runs/a/report.html" in told
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert str(tmp_path) in drawn(record, tmp_path / "runs" / "a" / "report.html", width=300)


def test_without_a_page_the_record_is_called_one(tmp_path):
    record = read_run(records.write_run(tmp_path / "a"))
    assert "│ record  " in drawn(record)
    assert "│ report  " in drawn(record, tmp_path / "report.html")


def test_markup_in_names_stays_text(tmp_path):
    folder = records.write_run(tmp_path / "[bold]a[/bold]", metric="[red]loss")
    told = drawn(read_run(folder), width=300)  # wide: a long folder's name is not broken
    assert "[red]loss" in told
    assert "[bold]a[/bold]" in told


def test_it_fits_a_narrow_terminal(tmp_path):
    told = drawn(read_run(records.write_run(tmp_path / "a")), width=40)
    assert max(len(line) for line in told.splitlines()) <= 40
