"""A run's name, group or logger names no path: nothing is written outside of the run's folder."""

import json
from pathlib import Path

import pytest
import pytorch_lightning as pl

from helpers import tiny
from thinned.app.cli import main
from thinned.callbacks import RunRecord
from thinned.report import read_record

NAMES = {
    "up": "../../escaped",
    "absolute": "/escaped-absolutely",
    "home": "~/escaped",
    "NUL": "a\0b",
    "long": "x" * 5000,
    "Windows": "CON",
    "backslash": "..\\..\\escaped",
    "drive": "C:\\escaped",
    "newline": "a\nb\r\x1b[2J",
    "dots": "..",
    "empty": "",
}


def files(folder):
    return {path.relative_to(folder) for path in folder.rglob("*")}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_the_name_of_a_run_is_only_text(tmp_path, name):
    folder = tmp_path / "deep" / "er" / "run"
    tiny.fit([RunRecord(folder, config={"name": name, "group": name}, summary=False)])
    assert files(tmp_path) == {
        Path("deep"),
        Path("deep/er"),
        Path("deep/er/run"),
        Path("deep/er/run/record.jsonl"),
        Path("deep/er/run/report.html"),
    }
    shown = name.translate(dict.fromkeys([0, 13, 27], "\ufffd"))  # no orders for a terminal
    assert read_record(folder).name == (shown or "run")


@pytest.mark.parametrize("name", ["../../escaped", "../c", "/escaped-absolutely"])
def test_the_name_of_a_logger_takes_no_record_out_of_its_folder(tmp_path, name, monkeypatch):
    logger = pl.loggers.CSVLogger(tmp_path / "a" / "b", name=name, version="")
    monkeypatch.setattr(logger, "save", lambda: None)
    monkeypatch.setattr(pl.loggers.CSVLogger, "log_metrics", lambda *_, **__: None)
    monkeypatch.setattr(pl.loggers.CSVLogger, "log_hyperparams", lambda *_, **__: None)
    callback = RunRecord(page=False, summary=False)
    tiny.fit([callback], logger=logger, default_root_dir=tmp_path / "root")
    assert callback.path == tmp_path / "root" / "runs" / "run_0" / "record.jsonl"


def test_the_application_writes_into_its_folder_whatever_the_names(tmp_path, monkeypatch):
    work = tmp_path / "deep" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    text = json.dumps("../../escaped/<b>")
    quick = ["trainer.max_epochs=1", "data.train_size=40", "data.val_size=50"]
    names = [f"name={text}", f"group={text}", "logger=[csv,tensorboard]", "trainer.accelerator=cpu"]
    bar = ["trainer.enable_progress_bar=false", "callbacks.record.summary=false"]
    assert main(["train", *quick, *names, *bar]) == 0
    assert {path.parts[0] for path in files(tmp_path)} == {"deep"}
    assert {path.parts[0] for path in files(work)} == {"runs"}
    (run,) = work.glob("runs/*/*/record.jsonl")
    assert read_record(run).name == json.loads(text)
