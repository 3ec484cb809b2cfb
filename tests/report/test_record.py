import json
import subprocess
import sys
import time

import pytest

from helpers import records
from thinned import ThinnedWarning
from thinned.report import RecordWriter, process_mark, read_record


def test_reads_back_what_was_written(tmp_path):
    writer = RecordWriter(tmp_path)
    writer.write("header", name="first", seed=3, monitor="val_acc", mode="max", config={"lr": 0.1})
    writer.write("header", planned_batches=40)
    writer.write("edit", text="2 sites", count=2)
    writer.write("rates", step=1, epoch=0.1, progress=0.0, groups={"all": 0.1}, sites={"a": 0.2})
    writer.write("metrics", step=10, epoch=0, values={"val_acc": 0.5})
    writer.write("verdict", word="healthy", confidence=0.8, evidence=["e"], action="a", step=10)
    writer.write("end", status="finished", error=None, seconds=2.0)
    record = read_record(tmp_path)
    assert (record.name, record.seed, record.monitor, record.mode) == ("first", 3, "val_acc", "max")
    assert record.planned_batches == 40
    assert record.config == {"lr": 0.1}
    assert record.edits == [{"text": "2 sites", "count": 2}]
    assert [row.sites for row in record.rates] == [{"a": 0.2}]
    assert record.series("val_acc") == [(0.0, 0.5)]
    assert record.verdict["word"] == "healthy"
    assert record.status == "finished"
    assert record.skipped == 0


def test_each_row_is_one_line_that_begins_with_its_type(tmp_path):
    writer = RecordWriter(tmp_path)
    writer.write("header", name="a\nb")
    writer.write("end", status="finished")
    lines = writer.path.read_text().splitlines()
    assert len(lines) == 2
    assert [line[:8] for line in lines] == ['{"type":', '{"type":']


def test_what_json_does_not_know_survives(tmp_path):
    writer = RecordWriter(tmp_path)
    values = {"nan": float("nan"), "inf": float("inf"), "low": float("-inf")}
    writer.write("metrics", step=1, epoch=0, values=values)
    line = writer.path.read_text()
    json.loads(line, parse_constant=lambda name: pytest.fail(f"not JSON: {name}"))
    read = read_record(tmp_path).metrics[0].values
    assert str(read) == "{'nan': nan, 'inf': inf, 'low': -inf}"


def test_unreadable_lines_are_counted_and_skipped(tmp_path):
    folder = records.write_run(tmp_path / "run", end=None)
    with (folder / "record.jsonl").open("a") as file:
        file.write('{"type": "metrics", "step": 40, "epo')  # killed while writing
        file.write("\n[1, 2]\nnull\n")
        file.write('{"type": "unknown"}\n{"type": "metrics", "values": 3}\n')
    record = read_record(folder)
    assert record.skipped == 5
    assert len(record.metrics) == 3


def test_rows_of_one_step_are_joined(tmp_path):
    writer = RecordWriter(tmp_path)
    writer.write("metrics", step=10, epoch=0, values={"val_loss": 0.5})
    writer.write("metrics", step=10, epoch=0, values={"val_loss": 0.5, "train_loss": 0.4})
    assert [row.values for row in read_record(tmp_path).metrics] == [
        {"val_loss": 0.5, "train_loss": 0.4}
    ]


@pytest.mark.parametrize(
    ("process", "status"),
    [
        (process_mark(), "running"),
        ({**process_mark(), "began": None}, "running"),  # of an earlier version, or no Linux
        ({**process_mark(), "began": 1}, "crashed"),  # another one has its number now
        ({**process_mark(), "pid": 2**22 + 1}, "crashed"),
        ({**process_mark(), "host": "another"}, "crashed"),
        ({}, "crashed"),
    ],
)
def test_without_an_end_it_runs_or_has_crashed(tmp_path, process, status):
    writer = RecordWriter(tmp_path)
    writer.write("header", name="a", process=process)
    assert read_record(tmp_path).status == status


def test_a_process_that_the_kernel_hides_may_still_be_there(tmp_path, monkeypatch):
    RecordWriter(tmp_path).write("header", name="a", process=process_mark())
    monkeypatch.setattr("thinned.report._records.process._began", lambda _: None)
    assert read_record(tmp_path).status == "running"


def test_a_process_that_has_ended_and_was_not_waited_for_is_gone(tmp_path):
    began = "from thinned.report import process_mark; print(process_mark()['began'], flush=True)"
    writer = RecordWriter(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", began], stdout=subprocess.PIPE, text=True
    ) as child:
        mark = {**process_mark(), "pid": child.pid, "began": int(child.stdout.readline())}
        writer.write("header", name="a", process=mark)
        child.stdout.read()  # until it has ended
        for _ in range(100):  # which is a moment before it is gone
            if read_record(tmp_path).status == "crashed":
                break
            time.sleep(0.05)
        assert read_record(tmp_path).status == "crashed"


def test_without_rates_everything_else_is_read(tmp_path):
    folder = records.write_run(tmp_path / "run")
    assert read_record(folder).rates
    lean = read_record(folder, rates=False)
    assert lean.rates == []
    assert len(lean.metrics) == 3


def test_truncating_drops_later_steps_and_the_end(tmp_path):
    folder = records.write_run(tmp_path / "run", (1.0, 0.5, 0.6))
    RecordWriter(folder).truncate_after(20)
    record = read_record(folder)
    assert [row.step for row in record.metrics] == [10, 20]
    assert [row.step for row in record.rates] == [10, 20]
    assert record.end is None
    assert record.sites  # what has no step stays


def test_an_earlier_record_is_moved_aside(tmp_path):
    folder = records.write_run(tmp_path / "run")
    writer = RecordWriter(folder)
    writer.move_aside()
    writer.write("header", name="second")
    records.write_run(folder)  # a third would go on in the same file
    assert read_record(folder / "record.1.jsonl").name == "run"
    writer.move_aside()
    assert (folder / "record.2.jsonl").exists()


def test_a_full_disk_costs_one_warning(tmp_path, monkeypatch):
    writer = RecordWriter(tmp_path)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(writer.path), "open", full)
    with pytest.warns(ThinnedWarning, match="No space left on device"):
        writer.write("header", name="a")
    assert writer.broken
    writer.write("header", name="b")  # a second warning would be an error here


def test_a_missing_record_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Add `RunRecord\(\)` to the callbacks"):
        read_record(tmp_path)
