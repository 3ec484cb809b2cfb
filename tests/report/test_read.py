import csv
import sys

import pytest
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

import thinned
from helpers import records, tiny
from thinned.callbacks import DropoutScheduler, OverfittingMonitor
from thinned.report import MetricRow, Record, compare, exit_code, judge, read_run, write_page
from thinned.report._pages.answer import answer
from thinned.schedules import Linear


def write_csv(folder, rows):
    folder.mkdir(parents=True)
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def overfitted_rows(epochs=16):
    rows = []
    for epoch in range(epochs):
        step = 5 * epoch
        rows.append({"epoch": epoch, "step": step + 2, "train_loss": 0.4 * 0.7**epoch})
        rows.append({"epoch": epoch, "step": step + 4, "val_loss": 0.5 + 0.06 * epoch})
    return rows


@pytest.mark.parametrize("make", [CSVLogger, TensorBoardLogger])
def test_reads_what_lightning_logged(tmp_path, make):
    logger = make(tmp_path, name="logs")
    fitted = tiny.fit(logger=logger, max_epochs=3)
    record = read_run(logger.log_dir)
    assert record.status == "unknown"  # the files do not say how the run ended
    assert [row.epoch for row in record.metrics] == [0, 1, 2]
    last = record.metrics[-1].values
    assert last["val_loss"] == pytest.approx(float(fitted.callback_metrics["val_loss"]), rel=1e-5)
    assert {"val_loss", "val_acc", "train_loss"} <= set(last)


@pytest.mark.parametrize("make", [CSVLogger, TensorBoardLogger])
def test_reads_the_rates_that_our_scheduler_logged(tmp_path, make):
    logger = make(tmp_path, name="logs")
    scheduler = DropoutScheduler(Linear(0.0, 0.3))
    tiny.fit(
        callbacks=[scheduler, OverfittingMonitor("val_loss", probe=1.0)],
        logger=logger,
        max_epochs=6,
        log_every_n_steps=1,
    )
    record = read_run(logger.log_dir)
    rates = [row.groups["all"] for row in record.rates]
    assert rates == sorted(rates)
    assert (rates[0], rates[-1]) == pytest.approx((0.0, 0.3))
    assert record.rates[-1].epoch == 5
    assert [row.epoch for row in record.metrics] == [0, 1, 2, 3, 4, 5]  # no validation is a rate's
    assert "The mean dropout rate is 0.30." in judge(record).evidence


@pytest.mark.parametrize("make", [CSVLogger, TensorBoardLogger])
def test_a_run_of_few_steps_has_the_rate_that_was_set_and_not_the_hyperparameter(tmp_path, make):
    logger = make(tmp_path)
    logger.log_hyperparams({"dropout": 0.5})
    callbacks = thinned.regularize(dropout=0.1)
    tiny.fit(callbacks, logger=logger, max_epochs=5, log_every_n_steps=50)
    said = judge(read_run(logger.log_dir))
    assert "The mean dropout rate is 0.10." in said.evidence
    live = callbacks[-1].verdict
    assert (said.word, said.rates) == (live.word, live.rates)
    assert said.confidence == pytest.approx(live.confidence, abs=1e-4)


def test_reads_the_hyperparameters(tmp_path):
    folder = write_csv(tmp_path / "a", [{"epoch": 0, "step": 1, "val_loss": 1.0}])
    (folder / "hparams.yaml").write_text("seed: 3\ndropout: 0.25\n")
    record = read_run(folder)
    assert record.config == {"seed": 3, "dropout": 0.25}
    assert record.seed == 3


def test_hyperparameters_with_objects_are_left_out(tmp_path):
    folder = write_csv(tmp_path / "a", [{"epoch": 0, "step": 1, "val_loss": 1.0}])
    (folder / "hparams.yaml").write_text("net: !!python/object:torch.nn.Module {}\n")
    assert read_run(folder).config == {}


def test_training_metrics_are_averaged_between_validations(tmp_path):
    rows = [
        {"epoch": 0, "step": 0, "train_loss": 1.0},
        {"epoch": 0, "step": 1, "train_loss": 3.0},
        {"epoch": 0, "step": 1, "val_loss": 5.0},
        {"epoch": 0, "step": 2, "train_loss": 4.0},
        {"epoch": 0, "step": 3, "val_loss": 6.0},
    ]
    metrics = read_run(write_csv(tmp_path / "a", rows)).metrics
    assert [row.values for row in metrics] == [
        {"train_loss": 2.0, "val_loss": 5.0},
        {"train_loss": 4.0, "val_loss": 6.0},
    ]
    assert [row.epoch for row in metrics] == [-0.5, 0.0]


def test_the_verdict_by_the_naive_gap_is_less_sure(tmp_path):
    said = judge(read_run(write_csv(tmp_path / "a", overfitted_rows())))
    assert said.word == "overfitting"
    assert said.confidence <= 0.8
    assert "above train_loss as logged." in said.evidence[1]
    assert "training was measured with dropout on, and while the model" in said.evidence[2]


def test_a_naive_gap_without_dropout_is_none_of_dropout(tmp_path):
    folder = write_csv(tmp_path / "a", overfitted_rows())
    (folder / "hparams.yaml").write_text("dropout: 0.0\n")
    said = judge(read_run(folder))
    assert "training was measured while the model still changed" in said.evidence[2]


def test_exit_code_for_a_run_made_without_us(tmp_path):
    record = read_run(write_csv(tmp_path / "a", overfitted_rows()))
    assert exit_code(record, ["overfitting"]) == 1
    assert exit_code(record, ["underfitting", "failed"]) == 0


def test_what_can_never_be_found_is_no_reason_to_fail(tmp_path):
    record = read_run(write_csv(tmp_path / "a", overfitted_rows()))
    with pytest.raises(ValueError, match="'failed', 'running', got 'no improvement'"):
        exit_code(record, ["no improvement"])
    with pytest.raises(ValueError, match=r"one of 'no improvement', .* got 'overfitting'"):
        exit_code(compare([record]), ["overfitting"])


def test_without_training_metrics_there_is_no_verdict(tmp_path):
    rows = [{"epoch": epoch, "step": epoch, "val_loss": 1.0} for epoch in range(9)]
    assert judge(read_run(write_csv(tmp_path / "a", rows))) is None


def test_runs_of_others_can_be_compared(tmp_path):
    for value, loss in {"a": 0.5, "b": 0.4}.items():
        folder = write_csv(tmp_path / value, [{"epoch": 0, "step": 1, "val_loss": loss}])
        (folder / "hparams.yaml").write_text(f"dropout: {loss}\n")
    found = compare(tmp_path)
    assert [arm.label for arm in found.arms] == ["dropout=0.4", "dropout=0.5"]
    assert [arm.estimates["val_loss (best)"].mean for arm in found.arms] == [0.4, 0.5]
    assert "Not in the means" not in "".join(found.evidence)


@pytest.mark.parametrize("start", [0, 6])
def test_a_diverged_run_says_so(tmp_path, start):
    rows = overfitted_rows()
    for row in rows[2 * start :]:
        row.update({key: "nan" for key in row if key.endswith("loss")})
    record = read_run(write_csv(tmp_path / "a", rows))
    told = answer(record)
    assert told.headline == f"The run diverged at epoch {start}: lower the learning rate"
    assert told.word == "diverged"
    assert "learning rate" in judge(record).action
    page = write_page(record).read_text("utf-8")
    assert '<span class="chip bad">diverged</span>' in page
    assert "0.8" not in "".join(tile.value for tile in told.tiles)


@pytest.mark.parametrize(
    ("hyper", "action"),
    [
        ({"dropout": 0.5}, "Raise the rate: thinned.regularize(dropout=0.7)"),
        ({"dropout": 0.0}, "Add dropout: thinned.regularize(dropout=0.2)"),
        ({"lr": 0.5}, "Add dropout, or raise its rate: thinned.regularize(dropout=0.2)"),
    ],
)
def test_the_rate_to_try_is_above_the_known_one(tmp_path, hyper, action):
    rows = []
    for epoch in range(16):
        train = 0.4 * 0.8**epoch
        losses = {"train_loss": train, "val_loss": 1.2 * max(train, 0.12) + 0.03 * epoch}
        rows.append(MetricRow(epoch, epoch, losses))
    assert judge(Record(tmp_path, metrics=rows, config=hyper)).action == action


def test_events_that_are_none_are_refused(tmp_path):
    (tmp_path / "events.out.tfevents.1.host").write_bytes(b"abc")
    with pytest.raises(ValueError, match=r"Expected TensorBoard's events in .*, got none"):
        read_run(tmp_path)


def test_our_record_comes_before_the_logs(tmp_path):
    folder = write_csv(tmp_path / "a", overfitted_rows())
    records.write_run(folder)
    assert read_run(folder).source == "record"
    assert read_run(folder / "metrics.csv").source == "record"


def test_an_offline_run_of_wandb_says_what_to_do(tmp_path):
    (tmp_path / "run-abc.wandb").touch()
    with pytest.raises(FileNotFoundError, match=r"no public reader.*CSVLogger"):
        read_run(tmp_path)


def test_an_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Add `RunRecord\(\)` to the callbacks"):
        read_run(tmp_path)


def test_tensorboard_missing_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "events.out.tfevents.1.host").touch()
    name = "tensorboard.backend.event_processing.event_accumulator"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        read_run(tmp_path)


def test_the_page_of_a_log_does_not_deny_the_sites_whose_rates_it_draws(tmp_path):
    rows = [{"epoch": e, "step": e, "val_loss": 1.0, "dropout/all/rate": 0.1} for e in range(3)]
    page = write_page(write_csv(tmp_path / "a", rows)).read_text("utf-8")
    assert "does not say which places of the model hold the rates" in page
    assert "No site" not in page
