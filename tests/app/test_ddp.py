"""The main job on two processes."""

import pytest

from helpers.app import only, thinned
from thinned.report import read_record


@pytest.mark.multiprocess
def test_ddp_on_two_processes_writes_one_record_and_one_status():
    done = thinned(
        "train",
        "trainer=ddp",
        "trainer.max_epochs=2",
        "logger=csv",
        "data.train_size=40",
        "trainer.enable_progress_bar=false",
        "pages=false",
        "model.widths=[16,16]",
    )
    assert done.returncode == 0, done.stderr
    folder = only("runs/*/*")  # the second process has no folder of its own
    record = read_record(folder / "record.jsonl")
    assert record.status == "finished"
    assert record.environment["processes"] == "2"
    assert len(record.metrics) == 2
    assert "overfit/gap/val_loss" in record.metrics[-1].values
    assert len(list(folder.glob("**/status.json"))) == 1


def test_the_record_is_told_its_folder_since_a_spawned_process_knows_nothing_of_hydra(
    train, monkeypatch
):
    monkeypatch.setattr("thinned.callbacks._record.identity._hydra", lambda: None)
    code, err = train("trainer.max_epochs=1", "logger=none", "pages=false")
    assert code == 0, err
    assert only("runs/*/*/record.jsonl").is_file()
