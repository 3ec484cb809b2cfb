"""A record is somebody else's file: limits, things that are no files, wrong types."""

import json
import os
import sys

import pytest

from helpers import records
from thinned import ThinnedWarning
from thinned.report import RecordWriter, find_records, read_record, read_run, write_page
from thinned.report._records import data

GOOD = {"type": "metrics", "step": 10, "epoch": 0, "values": {"val_loss": 0.5}}


def written(folder, *lines):
    rows = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in lines]
    (folder / "record.jsonl").write_bytes(b"\n".join(rows) + b"\n")
    return folder


WRONG = {
    "no object": b"[1, 2]",
    "no JSON": b'{"type": "metrics", "step"',
    "no text": b"\xff\xfe\x00\x80",
    "deep": b'{"type": "header", "config": ' + b'{"a": ' * 50_000 + b"1" + b"}" * 50_001,
    "deeper than we write": {"type": "header", "config": json.loads('{"a":' * 40 + "1" + "}" * 40)},
    "no type": {"step": 1},
    "a type that is no text": {"type": ["metrics"]},
    "a type of a later version": {"type": "dream"},
    "an integer of 5,000 digits": b'{"type": "header", "seed": ' + b"9" * 5000 + b"}",
    "a seed beyond floats": {"type": "header", "seed": 10**400},
    "a seed that is true": {"type": "header", "seed": True},
    "a name that is a list": {"type": "header", "name": ["a"]},
    "a mode": {"type": "header", "mode": "best"},
    "a config that is a list": {"type": "header", "config": [["a", 1]]},
    "overrides that are a text": {"type": "header", "overrides": "seed=1"},
    "a step that is a text": {**GOOD, "step": "10"},
    "an epoch that is NaN": b'{"type": "metrics", "step": 1, "epoch": NaN, "values": {}}',
    "a metric that is a text": {**GOOD, "values": {"val_loss": "low"}},
    "a metric that is null": {**GOOD, "values": {"val_loss": None}},
    "values that are a list": {**GOOD, "values": [0.5]},
    "a site without a path": {"type": "sites", "sites": [{"rate": 0.5}]},
    "a rate that is a text": {"type": "sites", "sites": [{"path": "a", "rate": "0.5"}]},
    "an edit without words": {"type": "edit", "count": 1},
    "a finding without words": {"type": "finding", "rule": "a"},
    "evidence that is a text": {"type": "verdict", "word": "healthy", "evidence": "e"},
    "an end that is none": {"type": "end", "status": "happy"},
}


@pytest.mark.parametrize("line", WRONG.values(), ids=WRONG)
def test_a_wrong_row_is_skipped_counted_and_told(tmp_path, line):
    record = read_record(written(tmp_path, GOOD, line, {**GOOD, "step": 20}))
    assert record.skipped == 1
    assert [row.step for row in record.metrics] == [10, 20]
    assert (record.config, record.sites, record.edits, record.findings) == ({}, [], [], [])
    assert "1 unreadable line left out" in write_page(record).read_text("utf-8")


def test_what_is_odd_but_right_is_read(tmp_path):
    record = read_record(
        written(
            tmp_path,
            b'\xef\xbb\xbf{"type": "header", "name": "\\ud800", "later": 1}',  # half a letter
            b'{"type": "metrics", "step": 1, "epoch": 0, "values": {"a": NaN, "b": -Infinity}}',
            b'{"type": "header", "name": "again", "config": {"a": 1}}',
            b'{"type": "header", "config": {"b": 2}}',
            b"",
        )
    )
    assert record.skipped == 0
    assert (record.name, record.config) == ("again", {"a": 1, "b": 2})
    assert str(record.metrics[0].values) == "{'a': nan, 'b': -inf}"


def test_findings_that_come_ten_thousand_times_are_one(tmp_path):
    row = {"type": "finding", "rule": "a", "severity": "error", "message": "m"}
    record = read_record(written(tmp_path, *[row] * 10_000))
    assert record.findings == [
        {"rule": "a", "severity": "error", "message": "m", "path": None, "fix": None}
    ]


@pytest.mark.parametrize("name", ["record.jsonl", "metrics.csv", "events.out.tfevents.1.host"])
def test_a_file_of_any_size_is_not_read(tmp_path, name):
    with (tmp_path / name).open("wb") as file:
        file.truncate(data.MAX_BYTES + 1)  # a hole, which takes no room
    with pytest.raises(ValueError, match=r"of at most 128 MiB, but .* has 128 MiB"):
        read_run(tmp_path)


def test_a_line_of_any_length_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MAX_LINE", 200)
    long = {"type": "header", "name": "a" * 200}
    record = read_record(written(tmp_path, GOOD, long))
    assert (record.skipped, len(record.metrics)) == (1, 1)


@pytest.mark.parametrize("name", ["record.jsonl", "metrics.csv", "events.out.tfevents.1.host"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_ordinary_file_is_refused_and_never_waited_for(tmp_path, name, kind):
    path = tmp_path / name
    {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
    }[kind]()
    with pytest.raises(ValueError, match="is no ordinary file"):
        read_run(tmp_path)


def test_links_in_a_circle_are_no_record_and_end_no_search(tmp_path):
    records.write_run(tmp_path / "run")
    (tmp_path / "run" / "up").symlink_to(tmp_path)
    assert find_records(tmp_path) == [tmp_path / "run"]
    loop = tmp_path / "loop" / "record.jsonl"
    loop.parent.mkdir()
    loop.symlink_to(loop)
    with pytest.raises(FileNotFoundError, match="Expected a run record, found no"):
        read_record(loop)


def test_numbers_that_are_none_do_not_upset_the_order_of_folders(tmp_path):
    for name in ("run²", "run10", "run9"):
        records.write_run(tmp_path / name)
    assert [path.name for path in find_records(tmp_path)][:2] == ["run9", "run10"]


# Logs of others.


@pytest.mark.parametrize(
    "hyper",
    [
        "a: &a [x]\n"
        + "".join(
            f"k{i}: &k{i} [{', '.join([f'*k{i - 1}' if i else '*a'] * 9)}]\n" for i in range(9)
        ),
        "a: &a [*a]",
        "[" * 2000,
        "a: 2026-99-99",
        "? [a, b]\n: 1",
        "\x00",
        "- 1",
    ],
    ids=["aliases upon aliases", "itself", "deep", "a date", "a key", "NUL", "a list"],
)
def test_hyperparameters_of_any_kind_are_left_out(tmp_path, hyper):
    (tmp_path / "metrics.csv").write_text("epoch,step,val_loss\n0,1,0.5\n")
    (tmp_path / "hparams.yaml").write_text(hyper)
    assert read_run(tmp_path).config == {}


def test_dates_and_keys_of_hyperparameters_are_shown(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,step,val_loss\n0,1,0.5\n")
    (tmp_path / "hparams.yaml").write_text("when: 2026-11-21\n2026-11-22: 1\nseed: 1e3\n")
    assert "2026-11-22" in write_page(read_run(tmp_path)).read_text("utf-8")


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("", []),
        ("\x00\xff", []),
        ("step,val_loss\nnan,1\n1e400,2\n", []),
        ("step,val_loss,val_loss\n1,0.5,0.6,0.7,0.8\n", [0.6]),
        ("step,epoch,val_loss\n1,inf,0.5\n2,x,1e400\n", [0.5]),
        ('step,val_loss\n1,0.5\n2,"0.4\n', [0.5, 0.4]),
    ],
)
def test_tables_of_any_kind(tmp_path, table, values):
    (tmp_path / "metrics.csv").write_text(table)
    assert [row.values["val_loss"] for row in read_run(tmp_path).metrics] == values
    write_page(tmp_path)


def test_a_cell_of_any_size_is_told(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,val_loss\n1," + "9" * 200_000)
    with pytest.raises(ValueError, match=r"Expected a table of metrics in .*field larger"):
        read_run(tmp_path)


# Writing.


def test_a_pipe_in_the_records_place_costs_one_warning(tmp_path):
    os.mkfifo(tmp_path / "record.jsonl")
    writer = RecordWriter(tmp_path)
    with pytest.warns(ThinnedWarning, match="no ordinary file"):
        writer.write("header", name="a")


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("record.jsonl", "record.jsonl.part", "report.html", "report.html.part"):
        (folder / name).symlink_to(outside)
    (folder / "dangling.jsonl").symlink_to(tmp_path / "new.txt")
    writer = RecordWriter(folder)
    writer.move_aside()
    records.write_run(folder)
    writer.truncate_after(20)
    write_page(folder)
    dangling = RecordWriter(folder / "dangling.jsonl")
    dangling.move_aside()
    dangling.write("header", name="a")
    assert outside.read_text() == "mine"
    assert not (tmp_path / "new.txt").exists()
    assert not (folder / "report.html").is_symlink()


def test_what_refers_to_itself_is_written_all_the_same(tmp_path):
    config = {"a": [1]}
    config["self"] = config
    writer = RecordWriter(tmp_path)
    writer.write("header", name="a", config=config)
    record = read_record(tmp_path)
    assert record.config["self"]["self"]["a"] == [1]
    assert record.skipped == 0


def test_what_has_no_text_costs_one_warning(tmp_path):
    writer = RecordWriter(tmp_path)
    with pytest.warns(ThinnedWarning, match="cannot be written"):
        writer.write("header", name="a", seed=10 ** (sys.get_int_max_str_digits() + 1))


@pytest.mark.parametrize("path", ["/dev/zero", "folder"])
def test_a_checkpoint_cannot_make_a_record_of_anything(tmp_path, path):
    (tmp_path / "folder").mkdir()
    writer = RecordWriter(tmp_path / "run")
    with pytest.warns(ThinnedWarning, match="no ordinary file"):
        writer.copy_from(tmp_path / path)


# The terminal.


def test_no_record_gives_orders_to_a_terminal(tmp_path, capsys):
    from thinned.app.cli import main

    order = "\x1b]0;owned\x07\x1b[2J\x9b2J\r[bold]kept[/bold]"
    folder = records.write_run(
        tmp_path / "run",
        metric=f"val_loss{order}",
        name=order,
        group=order,
        end="failed",
        error=order,
        sites=(order,),
    )
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "metrics.csv").write_text(f"epoch,step,val_loss{order[:20]}\n0,1,0.5\n")
    assert main(["report", str(folder), str(tmp_path / "csv")]) == 0
    assert main(["compare", str(folder), "--metric", "none"]) == 2
    told = "".join(capsys.readouterr())
    assert "[bold]kept[/bold]" in told
    assert not {"\x1b", "\x07", "\x9b", "\r"} & set(told)


def test_a_folder_that_may_not_be_read_is_one_sentence(tmp_path, capsys, monkeypatch):
    from pathlib import Path

    from thinned.app.cli import main

    folder = records.write_run(tmp_path / "run")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "open", refuse)
    assert main(["report", str(folder)]) == 2
    assert capsys.readouterr().err.startswith("thinned: [Errno 13] Permission denied")
