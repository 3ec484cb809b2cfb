import math
import re
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from helpers import records
from thinned.metrics import Verdict
from thinned.report import (
    MetricRow,
    RateRow,
    Record,
    RecordWriter,
    coloured,
    compare,
    read_run,
    write_compare_page,
    write_page,
)
from thinned.report._pages.answer import answer
from thinned.report._pages.command import command
from thinned.report._pages.compare_figures import curves, differences, means
from thinned.report._pages.figures import values
from thinned.report._pages.judge import judge
from thinned.report._pages.page import _sites, run_figures
from thinned.report._pages.palette import palette
from thinned.report._pages.render import json_for_script
from thinned.report._records.course import course, guess_mode, main_metric, train_key

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>{{ 7*7 }}'


@pytest.fixture
def overfitted(tmp_path):
    losses, more = records.overfitted()
    return records.write_run(tmp_path / "run", losses, more=more, seed=1)


class Text(HTMLParser):
    """Collects what a page holds: its tags, and the text outside of scripts."""

    def __init__(self):
        super().__init__()
        self.tags, self.text, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data):
        if self.tags[-1:] not in (["script"], ["style"]):
            self.text.append(data)


def parse(path):
    parser = Text()
    parser.feed(path.read_text("utf-8"))
    return parser


def test_a_page_loads_nothing_and_is_small(overfitted):
    page = write_page(overfitted)
    assert page == overfitted / "report.html"
    assert page.stat().st_size < 6e6
    parsed = parse(page)
    assert "h1" in parsed.tags
    loading = [a for a in parsed.attributes if a[1] in ("src", "srcset", "action")]
    links = [a for a in parsed.attributes if a[1] == "href" and not a[2].startswith("#")]
    assert loading == links == []
    assert "link" not in parsed.tags


def test_the_policy_shuts_the_network_off(overfitted):
    text = write_page(overfitted).read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert len(re.findall(r"sha256-[\w+/=]{44}", policy.replace("&#43;", "+"))) == 2


def test_hostile_names_stay_text(tmp_path):
    losses, more = records.overfitted()
    more = {**more, HOSTILE: losses}
    folder = records.write_run(
        tmp_path / "run",
        losses,
        more=more,
        name=HOSTILE,
        config={HOSTILE: HOSTILE, "schedule": HOSTILE},
        overrides=[f"schedule={HOSTILE}"],
        end="failed",
        error=HOSTILE,
    )
    for page in (write_page(folder), write_compare_page(compare(tmp_path))):
        text = page.read_text("utf-8")
        assert "<script>alert" not in text
        assert "<img" not in text
        assert parse(page).tags.count("script") == 3
    assert HOSTILE in "".join(parse(write_page(folder)).text)


def test_json_cannot_leave_its_script():
    assert "<" not in json_for_script({"</script>": "<!--"})


def test_every_figure_is_one_that_plotly_knows(overfitted, tmp_path):
    drawn = run_figures(read_run(overfitted))
    assert set(drawn) == {"learning", "gap", "noise", "rates", "heat"}
    for figure, title, text in drawn.values():
        go.Figure(coloured(figure))  # raises on a name or value that it does not know
        assert title
        assert text.endswith(".")
    records.write_sweep(tmp_path / "sweep", {"none": {1: 0.5, 2: 0.6}, "late": {1: 0.4, 2: 0.5}})
    found = compare(tmp_path / "sweep")
    panels, _ = curves(found)
    figures = [means(found), differences(found), *(figure for figure, _ in panels.values())]
    assert len(figures) == 4
    for figure in figures:
        go.Figure(coloured(figure))


STEEP = "The axis leaves out the steep beginning."
FALLS = [5.0, 2.0, 0.6, 0.5, 0.45, 0.5, 0.55]


@pytest.mark.parametrize(
    ("metric", "values", "axis"),
    [
        ("val_loss", FALLS, (0.4425, 0.6075)),
        ("val_acc", [1.0 - v / 10 for v in FALLS], (0.93925, 0.95575)),
        ("val_loss", FALLS[2:], None),
        (
            "val_loss",
            [0.1, 5.0, 0.6, 0.5, 0.45, 0.5],
            (0.075, 0.625),
        ),  # the best is at the beginning
        ("val_loss", [5.0, 1.0, 1.0, 1.0, 1.0], None),
    ],
)
def test_a_steep_beginning_does_not_flatten_the_curve(tmp_path, metric, values, axis):
    rows = [MetricRow(i, i, {metric: value}) for i, value in enumerate(values)]
    figure, _, text = run_figures(Record(tmp_path, metrics=rows))["learning"]
    shown = figure["layout"]["yaxis"].get("range")
    assert (STEEP in text) == (axis is not None)
    assert shown is axis is None or shown == pytest.approx(axis)


def test_a_training_metric_above_validation_is_on_the_axis(tmp_path):
    train = [6.0, 3.0, 1.6, 1.5, 1.45, 1.5, 1.55]
    rows = [
        MetricRow(i, i, {"val_loss": v, "train_loss": t})
        for i, (v, t) in enumerate(zip(FALLS, train, strict=True))
    ]
    low, high = run_figures(Record(tmp_path, metrics=rows))["learning"][0]["layout"]["yaxis"][
        "range"
    ]
    assert low < 0.45
    assert 1.6 < high < 3.0


@pytest.mark.parametrize("steep", [True, False])
def test_learning_curves_without_their_steep_beginning(tmp_path, steep):
    records.write_sweep(tmp_path, {"none": {1: 0.5, 2: 0.6}, "late": {1: 0.4, 2: 0.5}})
    for folder in tmp_path.iterdir():
        losses = FALLS if steep else FALLS[2:]
        records.write_run(folder, losses, overrides=[f"schedule={folder.name}"], seed=1)
    page = write_compare_page(compare(tmp_path)).read_text("utf-8")
    assert (STEEP in page) == steep


def test_what_is_known_of_no_site_has_no_column(tmp_path):
    record = Record(tmp_path, sites=[{"path": "a", "kind": "dropout", "class": "Dropout"}])
    assert _sites(record) == (["path", "kind", "class"], [["a", "dropout", "Dropout"]])
    record.sites.append({"path": "b", "live": False, "rate": 0.5, "group": "head"})
    head, rows = _sites(record)
    assert head == ["path", "kind", "class", "group", "rate at start", "read by forward"]
    assert dict(zip(head, rows[1], strict=True))["read by forward"] == "no"
    assert dict(zip(head, rows[0], strict=True))["read by forward"] is None


def test_every_figure_has_a_name_a_description_and_its_numbers(overfitted):
    parsed = parse(write_page(overfitted))
    names = ("aria-labelledby", "aria-describedby")
    labels = [value for tag, name, value in parsed.attributes if tag == "div" and name in names]
    ids = {value for _, name, value in parsed.attributes if name == "id"}
    assert len(labels) == 10  # five figures
    assert set(labels) <= ids
    assert "The numbers: The fair gap" in "".join(parsed.text)


def test_the_first_heading_is_the_answer(overfitted):
    found = answer(read_run(overfitted))
    assert found.word == "overfitting"
    assert "val_loss was lowest at epoch 0" in found.headline
    assert found.action
    assert found.headline in "".join(parse(write_page(overfitted)).text)


def test_crashed_and_running_runs_say_so(tmp_path):
    crashed = answer(read_run(records.write_run(tmp_path / "a", end=None)))
    assert any("The run crashed" in line for line in crashed.evidence)
    whole = answer(read_run(records.write_run(tmp_path / "whole")))
    assert crashed.headline == f"The run crashed before its end. Until then: {whole.headline}"
    failed = records.write_run(tmp_path / "b", (), end="failed", error="OSError: gone")
    told = answer(read_run(failed))
    assert told.headline == "The run failed before its first validation"
    assert told.evidence == ["OSError: gone"]
    write_page(failed)


def test_without_a_validation_there_is_nothing_to_judge(tmp_path):
    folder = records.write_run(tmp_path / "a", ())
    assert "nothing to judge" in answer(read_run(folder)).headline
    assert "No validation has been logged" in "".join(parse(write_page(folder)).text)


def test_without_the_monitor_no_verdict_is_guessed(tmp_path):
    found = answer(read_run(records.write_run(tmp_path / "a")))
    assert found.word == ""
    assert found.headline == "val_loss was lowest at epoch 1 (0.5), and 0.1 higher by the end"
    assert "No fair gap was measured" in found.evidence[0]


def test_the_gap_is_not_followed_across_a_new_probe(tmp_path):
    gaps, marks = [0.9, 0.8, 0.1, 0.2], [0.0, 0.0, 1.0, 0.0]
    more = {"overfit/gap/val_loss": gaps, "overfit/new_probe": marks}
    told = answer(read_run(records.write_run(tmp_path / "a", (1.0, 0.4, 0.5, 0.6), more=more)))
    assert told.evidence[0].endswith("went from +0.1 to +0.2.")
    (tile,) = [tile for tile in told.tiles if tile.title == "fair gap at the end"]
    assert (tile.value, tile.note) == ("+0.2", ""), "the best epoch had another probe"


CONSTANT = {"_target_": "thinned.schedules.Constant", "rate": 0.1}
LINEAR = {"_target_": "thinned.schedules.Linear", "start": 0.0, "end": 0.8}


RAISE = "Raise the rate: thinned.regularize(dropout=0.3)"
LOWER = "Lower the rate: thinned.regularize(dropout=0)"
LONGER = "Train longer: Trainer(max_epochs=42); then look again."
LESS = "More dropout would not help: stop earlier, Trainer(max_epochs=8), or get more data."
OPEN = "Stop at epoch 7, Trainer(max_epochs=8); whether more dropout would help too is open. "
COMPARE = "Compare: train with thinned.regularize(dropout=...) at 0,0.1,0.3, with several seeds."
EACH = "-m {}=0,0.1,0.3 seed=1,2,3,4,5"


@pytest.mark.parametrize(
    ("schedule", "held", "remedy", "action", "expected"),
    [
        (CONSTANT, 0.1, "raise the rate", RAISE, "schedule.rate=0.3"),
        (CONSTANT, 0.1, "lower the rate", LOWER, "schedule.rate=0"),
        (CONSTANT, 0.1, "train longer", LONGER, "trainer.max_epochs=42"),
        (CONSTANT, 0.1, "train less", LESS, "trainer.max_epochs=8"),
        (CONSTANT, 0.1, "keep", "Keep the rate.", None),
        (CONSTANT, 0.1, "", COMPARE, EACH.format("schedule.rate")),
        (CONSTANT, 0.1, "", OPEN + COMPARE, EACH.format("schedule.rate")),
        (CONSTANT, 0.1, "", "Add `OverfittingMonitor()`, and train again.", None),
        # A schedule that was at its end is changed there; of any other the rate is what was judged.
        ({**LINEAR, "end": 0.1}, 0.1, "raise the rate", RAISE, "schedule.end=0.3"),
        (LINEAR, 0.1, "raise the rate", RAISE, "schedule=constant schedule.rate=0.3"),
        (LINEAR, 0.1, "", COMPARE, EACH.format("schedule=constant schedule.rate")),
        (None, 0.0, "raise the rate", RAISE, "schedule=constant schedule.rate=0.3"),
    ],
)
def test_the_command_does_what_the_action_says(tmp_path, schedule, held, remedy, action, expected):
    rates = [RateRow(0, 0, None, {"all": held}, {"a": held})]
    record = Record(
        tmp_path, config={"schedule": schedule}, overrides=["seed=1", "ckpt_path=a"], rates=rates
    )
    said = Verdict("overfitting", 0.9, (), action, remedy)
    several = "-m " if expected and expected.startswith("-m") else ""
    rest = (expected or "").removeprefix("-m ")
    seed = "" if several else "seed=1 "
    wanted = f"thinned train {several}{seed}{rest}" if expected else ""
    assert command(record, said) == wanted


def _stopped(tmp_path, progress):
    losses = [1.0 - 0.06 * epoch for epoch in range(12)]
    more = {"overfit/probe/val_loss": [loss - 0.01 for loss in losses]}
    verdict = {"word": "underfitting", "confidence": 0.9, "evidence": ["It fell."]}
    verdict |= {"action": LONGER, "remedy": "train longer"}
    record = read_run(records.write_run(tmp_path / "a", losses, more=more, overrides=["seed=1"]))
    record.config, record.verdict = {"schedule": CONSTANT}, verdict
    last = record.rates[-1]
    record.rates.append(RateRow(last.step, 12, progress, {"all": 0.1}, {"a": 0.1, "b": 0.2}))
    return record


def test_a_run_that_was_stopped_early_is_not_told_to_stop_there_again(tmp_path):
    early = answer(_stopped(tmp_path, 0.2))
    assert "before the end of the training that was planned" in early.action
    assert early.command == ""
    whole = answer(_stopped(tmp_path, 1.0))
    assert whole.action == LONGER
    assert whole.command == "thinned train seed=1 trainer.max_epochs=42"


def test_the_rate_at_the_end_is_one_in_tile_table_and_verdict(tmp_path):
    record = _stopped(tmp_path, 1.0)
    assert [tile.value for tile in answer(record).tiles][-1] == "0.1 to 0.2"
    record.verdict = None
    assert "The mean dropout rate is 0.15." in answer(record).evidence
    page = write_page(record, tmp_path / "page.html").read_text("utf-8")
    assert re.findall(r"<td[^>]*>(0\.\d+)</td>", page)[-4:] == ["0.1", "0.1", "0.1", "0.2"]


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        ("finished", None, "It was stopped after 5 epochs, since other runs of its sweep"),
        ("failed", "TrialPruned: ", "It was stopped, since other runs of its sweep were better."),
        ("interrupted", None, "The run was interrupted."),
    ],
)
def test_a_run_that_ended_before_its_time_says_how(tmp_path, status, error, told):
    folder = records.write_run(tmp_path / "a", end=status, error=error)
    if status == "finished":
        (folder / "status.json").write_text('{"status": "finished", "stopped_at": 5}')
    assert answer(read_run(folder)).evidence[0].startswith(told)
    text = write_page(folder).read_text("utf-8")
    assert f">{'interrupted' if status == 'interrupted' else 'stopped'}</span>" in text


OURS = {"callbacks": {"dropout": {"_target_": "thinned.callbacks.DropoutScheduler"}}}


@pytest.mark.parametrize(
    ("config", "overrides", "ours"),
    [
        ({"schedule": CONSTANT, "data": {}, "model": {}, **OURS}, [], True),
        ({"schedule": CONSTANT, "data": {}, "model": {}, "callbacks": {}}, [], False),
        ({"schedule": {"rate": 0.1}}, [], False),
        ({"schedule": {"_target_": "torch.optim.lr_scheduler.StepLR", "end": 3}}, ["a=1"], False),
    ],
)
def test_a_schedule_of_another_project_is_none_of_ours(tmp_path, config, overrides, ours):
    record = Record(tmp_path, config=config, overrides=overrides)
    told = command(record, Verdict("overfitting", 0.9, (), RAISE, "raise the rate"))
    assert told.startswith("thinned train") == ours


def test_code_in_sentences_is_marked(tmp_path):
    page = write_page(records.write_run(tmp_path / "a", ())).read_text("utf-8")
    assert "with <code>self.log</code> in <code>validation_step</code>." in page
    hostile = records.write_run(tmp_path / "b", (), end="failed", error="`<b>` and ` <i>")
    text = write_page(hostile).read_text("utf-8")
    assert "`&lt;b&gt;` and ` &lt;i&gt;" in text


def test_without_a_probe_the_page_speaks_of_none(tmp_path, overfitted):
    told = "".join(parse(write_page(records.write_run(tmp_path / "a"))).text)
    assert "Validation over the epochs" in told
    assert "training probe" not in told
    assert "Probe against validation" in "".join(parse(write_page(overfitted)).text)


def test_outside_of_hydra_the_code_can_be_copied(tmp_path):
    said = Verdict("overfitting", 0.9, (), "Do: thinned.regularize(dropout=0.3)", "raise the rate")
    assert command(Record(tmp_path), said) == "thinned.regularize(dropout=0.3)"
    several = (
        "Compare: train with thinned.regularize(dropout=...) at 0,0.1,0.3, with several seeds."
    )
    assert command(Record(tmp_path), Verdict("healthy", 0.5, (), several)) == ""  # no code to copy


def test_an_override_that_was_given_is_replaced(tmp_path):
    overrides = ["+schedule.rate=0.1", "data=wine"]
    rates = [RateRow(0, 0, None, {"all": 0.1}, {})]
    record = Record(tmp_path, config={"schedule": CONSTANT}, overrides=overrides, rates=rates)
    said = Verdict("overfitting", 0.9, (), RAISE, "raise the rate")
    assert command(record, said) == "thinned train data=wine schedule.rate=0.3"
    record.overrides = ["model.widths=[64, 64]"]
    assert command(record, said) == "thinned train 'model.widths=[64, 64]' schedule.rate=0.3"


@pytest.mark.parametrize(
    ("remedy", "numbers", "expected"),
    [
        ("raise the rate", {"rates": (0.3,)}, "seed=1 schedule.rate=0.3"),
        ("", {"rates": (0.0, 0.1, 0.3), "epochs": 7}, "-m schedule.rate=0,0.1,0.3 seed=1,2,3,4,5"),
        ("train less", {"epochs": 7}, "seed=1 trainer.max_epochs=7"),
    ],
)
def test_the_command_has_the_verdicts_numbers_whatever_the_words(
    tmp_path, remedy, numbers, expected
):
    rates = [RateRow(0, 0, None, {"all": 0.1}, {})]
    config = {"schedule": CONSTANT}
    record = Record(tmp_path, config=config, overrides=["seed=1"], rates=rates)
    said = Verdict("overfitting", 0.9, (), "Do what you like.", remedy, **numbers)
    assert command(record, said) == f"thinned train {expected}"


def test_the_numbers_go_through_the_record(tmp_path):
    folder = records.write_run(tmp_path / "a", end=None)
    said = {"word": "overfitting", "confidence": 0.9, "evidence": ["x"], "action": "Do."}
    RecordWriter(folder).write("verdict", **said, rates=(0.0, 0.2), epochs=12, step=9, epoch=9)
    found = judge(read_run(folder))
    assert (found.rates, found.epochs) == ((0.0, 0.2), 12)
    RecordWriter(folder).write("verdict", **said, step=9, epoch=9)  # of an earlier version
    found = judge(read_run(folder))
    assert (found.rates, found.epochs) == ((), None)


@pytest.mark.parametrize(
    ("remedy", "action", "rates"),
    [
        ("raise the rate", "thinned.regularize(dropout=0.7)", "0.7"),
        ("", "thinned.regularize(dropout=...) at 0.3,0.5,0.7, with several seeds.", "0.3,0.5,0.7"),
    ],
)
def test_a_rate_that_was_found_is_compared_with_constants(tmp_path, remedy, action, rates):
    adaptive = {"_target_": "thinned.callbacks.AdaptiveDropout", "monitor": None}
    record = Record(
        tmp_path,
        config={"schedule": None, "callbacks": {"adaptive": adaptive}},
        overrides=["experiment=adaptive", "callbacks.adaptive.highest=0.8"],
        rates=[RateRow(0, 0, None, {"all": 0.504}, {})],
    )
    found = command(record, Verdict("overfitting", 0.9, (), action, remedy))
    several = "-m " if "," in rates else ""
    seeds = " seed=1,2,3,4,5" if several else ""
    assert found == (
        f"thinned train {several}experiment=adaptive callbacks=default schedule=constant "
        f"schedule.rate={rates}{seeds}"
    )


def test_hundreds_of_long_paths_have_a_row_each(tmp_path):
    paths = tuple(f"backbone.encoder.layers.{i}.attention.dropout" for i in range(200))
    record = read_run(records.write_run(tmp_path / "a", sites=paths))
    drawn = run_figures(record)["heat"][0]
    assert len(set(drawn["data"][0]["y"])) == 200
    assert drawn["layout"]["height"] < 1000


def test_a_short_run_has_its_points_and_whole_epochs(tmp_path):
    short = run_figures(read_run(records.write_run(tmp_path / "a", (0.5,))))
    assert short["rates"][0]["data"][0]["mode"] == "lines+markers"
    assert short["learning"][0]["layout"]["xaxis"]["dtick"] == 1
    assert short["heat"][0]["layout"]["xaxis"]["dtick"] == 1
    long = run_figures(read_run(records.write_run(tmp_path / "b", (0.5,) * 30)))
    assert long["rates"][0]["data"][0]["mode"] == "lines"
    assert "dtick" not in long["learning"][0]["layout"]["xaxis"]


def test_where_a_run_diverged_is_marked(tmp_path):
    record = read_run(records.write_run(tmp_path / "a", (0.5, 0.4, math.nan, math.nan)))
    layout = run_figures(record)["learning"][0]["layout"]
    marks = {note["text"]: note["x"] for note in layout["annotations"]}
    assert marks == {"best": 1, "not finite": 2}


def test_a_comparison_draws_only_what_there_is(tmp_path):
    for i in range(20):
        overrides = [f"schedule.body=0.{i}", f"schedule.head=0.{20 - i}"]
        records.write_run(tmp_path / "search" / str(i), seed=0, overrides=overrides, rates=False)
    search = parse(write_compare_page(compare(tmp_path / "search")))
    ids = {value for _, name, value in search.attributes if name == "id"}
    assert "means" in ids
    assert "differences" not in ids  # of one seed none has an interval
    axis = means(compare(tmp_path / "search"))["layout"]["xaxis"]
    assert axis["showticklabels"] is False
    records.write_run(tmp_path / "killed", end="interrupted")
    killed = parse(write_compare_page(compare(tmp_path / "killed")))
    ids = {value for _, name, value in killed.attributes if name == "id"}
    assert "means" not in ids
    assert "curve0" in ids


def test_metrics_are_found_by_their_names(tmp_path):
    more = {"train/loss_epoch": [1.0], "val/acc": [0.5]}
    folder = records.write_run(tmp_path / "a", (0.5,), metric="val/loss", more=more, monitor=None)
    record = read_run(folder)
    assert main_metric(record) == "val/loss"
    assert train_key(record, "val/loss") == "train/loss_epoch"
    assert train_key(record, "val/acc") is None
    assert [guess_mode(key) for key in ("val/acc", "val_f1", "val_loss")] == ["max", "max", "min"]


def test_a_diverged_run_is_shown(tmp_path):
    folder = records.write_run(tmp_path / "a", (1.0, float("nan"), float("inf")))
    went = course(read_run(folder), "val_loss")
    assert (went.best, went.last) == (1.0, 1.0)
    write_page(folder)


def test_numbers_of_long_runs_are_thinned_out(tmp_path):
    folder = records.write_run(tmp_path / "a", [1.0 / (1 + e) for e in range(5000)], rates=False)
    figure = run_figures(read_run(folder))["learning"][0]
    points = figure["data"][-1]["x"]
    assert len(points) <= 1500
    assert points[-1] == 4999
    head, rows = values(figure)
    assert head == ["epoch", "validation"]
    assert len(rows) <= 61
    assert rows[-1][0] == 4999


def test_a_large_run_still_fits(tmp_path):
    losses = [1.0 / (1 + e) for e in range(3000)]
    more = {"overfit/gap/val_loss": losses, "overfit/probe/val_loss": losses, "train_loss": losses}
    sites = [f"model.encoder.layers.{i}.attention.dropout" for i in range(300)]
    folder = records.write_run(tmp_path / "a", losses[:60], sites=sites)
    assert write_page(folder).stat().st_size < 6e6
    long = records.write_run(tmp_path / "b", losses, more=more, rates=False)
    assert write_page(long).stat().st_size < 6e6


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_is_aa(theme):
    colours = palette(theme)
    texts = ("text", "muted", "accent", "good", "bad", "warn", "calm", "best", "onset")
    lines = ("validation", "probe", "train", "gap", *(f"s{i}" for i in range(1, 9)))
    for ground in ("page", "card"):
        for name in texts:
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        for name in lines:
            assert contrast(colours[name], colours[ground]) >= 3.0, (name, ground)
