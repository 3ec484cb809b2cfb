"""A record is data: whatever bytes it holds, it reads as a run or is refused in one sentence."""

import contextlib
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from helpers.fuzzing import fuzzed, junk, numbers, words
from thinned.report import compare, exit_code, judge, read_record, read_run, summary
from thinned.report._pages.compare_page import compare_page
from thinned.report._pages.page import page

json_junk = junk.filter(lambda value: not isinstance(value, bytes))
right = st.floats(-2, 5) | st.integers(-2, 9) | st.sampled_from([0.1, 1e308, -1e308, 5e-324, "nan"])
metrics = st.dictionaries(
    st.sampled_from(
        [
            *("val_loss", "train_loss", "lr", "overfit/onset", "overfit/probe/val_loss"),
            *("overfit/gap/val_loss", "overfit/inflation/val_loss"),
        ]
    )
    | words,
    right,
    min_size=1,
    max_size=5,
)
plans = st.dictionaries(
    st.sampled_from(["rate", "end", "_target_", "seed"]) | words, json_junk, max_size=3
)
# What a field rightly holds, at the edges of what is right.
FIELDS = {
    "name": words,
    "started": words,
    "seed": st.integers(-3, 2**53),
    "monitor": st.sampled_from(["val_loss", "lr"]) | words,
    "mode": st.sampled_from(["min", "max"]),
    "planned_batches": st.integers(-3, 2**53),
    "config": st.fixed_dictionaries({"schedule": plans | json_junk}) | plans,
    "overrides": st.lists(words | st.sampled_from(["seed=1", "+a.b='x'", "schedule=none"])),
    "environment": plans,
    "process": st.fixed_dictionaries({"pid": numbers, "host": words}),
    "sites": st.lists(
        st.fixed_dictionaries(
            {"path": words},
            optional={"kind": words, "rate": right, "live": st.booleans(), "other": json_junk},
        )
    ),
    "groups": st.dictionaries(words, right, max_size=3),
    "text": words,
    "count": json_junk,
    "rule": words,
    "severity": words,
    "message": words,
    "fix": words,
    "path": words,
    "step": st.integers(0, 9) | st.integers(-(2**53), 2**53),
    "epoch": st.integers(0, 9) | st.floats(-(2.0**53), 2.0**53),
    "progress": st.floats(-1, 2),
    "values": metrics,
    "word": st.sampled_from(["overfitting", "healthy", "not enough evidence"]) | words,
    "confidence": st.floats(0, 1) | st.floats(-9, 9),
    "evidence": st.lists(words, max_size=2),
    "action": words | st.sampled_from(["thinned.regularize(dropout=0.2)"]),
    "remedy": st.sampled_from(["", "raise the rate", "train longer", "train less"]) | words,
    "status": st.sampled_from(["finished", "failed", "interrupted"]),
    "error": words,
    "seconds": st.floats(-1, 1e9),
}
NEEDED = {
    "header": ["name", "monitor", "mode", "config"],
    "sites": ["sites"],
    "edit": ["text"],
    "finding": ["rule", "severity", "message"],
    "rates": ["step", "epoch", "groups"],
    "metrics": ["step", "epoch", "values"],
    "verdict": ["word", "remedy", "confidence"],
    "end": ["status"],
}
MORE = {
    "header": ["overrides", "environment", "process", "seed", "planned_batches", "started"],
    "rates": ["progress"],
    "finding": ["path", "fix"],
    "edit": ["count"],
    "verdict": ["evidence", "action"],
    "end": ["error", "seconds"],
}


@st.composite
def rows(draw):
    """Draw a row that is right; one of six has one thing in it that may be anything."""
    kind = draw(st.sampled_from([*NEEDED, "metrics", "metrics", "metrics"]))
    more = MORE.get(kind, [])
    names = [*NEEDED[kind], *(draw(st.lists(st.sampled_from(more))) if more else [])]
    row = {"type": kind, **{name: draw(FIELDS[name]) for name in names}}
    if kind == "rates" and draw(st.booleans()):
        row["sites"] = draw(FIELDS["groups"])
    if draw(st.integers(0, 5)) == 5:
        row[draw(st.sampled_from([*names, "type", "sites"]))] = draw(json_junk)
    return row


def encoded(value):
    return json.dumps(value, default=str).encode()


good = rows().map(encoded)
lines = st.lists(
    st.one_of(*[good] * 9, json_junk.map(encoded), st.binary(max_size=20)), max_size=12
)


def use(record):
    """Do with a record all that the commands do."""
    page(record)
    judge(record)
    exit_code(record, ["overfitting", "failed"])
    Console(file=io.StringIO(), width=80).print(summary(record))


@contextlib.contextmanager
def refused(reason):
    """Take an error with this reason; all others get out."""
    try:
        yield
    except ValueError as error:
        if reason not in str(error):
            raise


@fuzzed(60)
@given(lines)
def test_any_record_is_read_shown_and_judged(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("run")
    file = folder / "record.jsonl"
    file.write_bytes(b"\n".join(content))
    record = read_record(file)
    assert record.skipped <= len(file.read_text(errors="replace").splitlines())
    use(record)
    with refused("No run logged a validation loss"):
        compare_page(compare([record, read_record(folder)]), folder)


tables = st.lists(
    st.lists(words | numbers.map(str) | st.sampled_from(["0.5", "1", "nan"]), max_size=5),
    max_size=6,
)


@fuzzed(30)
@given(tables, st.binary(max_size=20), words)
def test_any_table_of_a_logger_is_read_or_refused(tmp_path_factory, content, tail, hyper):
    folder = tmp_path_factory.mktemp("run")
    head = "epoch,step,val_loss,train_loss\n"
    body = "\n".join(",".join(row) for row in content)
    (folder / "metrics.csv").write_bytes((head + body).encode("utf-8", "replace") + tail)
    (folder / "hparams.yaml").write_text(f"seed: {hyper}\ndropout: {{{hyper}", errors="replace")
    use(read_run(folder))


@fuzzed(20)
@given(st.binary(max_size=60))
@pytest.mark.filterwarnings("ignore")  # TensorBoard's own
def test_any_events_of_tensorboard_are_read_or_refused(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("run")
    (folder / "events.out.tfevents.1.host").write_bytes(content)
    with refused("Expected TensorBoard's events"):
        use(read_run(folder))
