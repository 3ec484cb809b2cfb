"""The Diagnosis callback: what the trainer knows reaches the rules, and training is as before."""

import contextlib
import json
import subprocess
import sys
import textwrap
from typing import ClassVar

import lightning.pytorch
import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from thinned.callbacks import AdaptiveDropout, Diagnosis, DropoutScheduler, RunRecord, ScaleRates
from thinned.schedules import Constant, Linear


class Steps:
    """What a model of either namespace does, without a forward."""

    def __init__(self, *middle, weight_decay=0.0):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), *middle, nn.Linear(64, 2))
        self.weight_decay = weight_decay

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01, weight_decay=self.weight_decay)


class WithoutForward(Steps, pl.LightningModule):
    """As many write it."""


class TwoParts(WithoutForward):
    """Without a forward, and with two parts: which one takes the batch, nobody can say."""

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(2, 2)


class Other(Steps, lightning.pytorch.LightningModule):
    """Of the other namespace."""


class Net(Steps, pl.LightningModule):
    """With a forward."""

    def forward(self, x):
        return self.net(x)


class Logs(Net):
    def forward(self, x):
        self.log("seen", 1.0)
        return super().forward(x)


class MovesRates(pl.Callback):
    """A callback of somebody else's."""

    rates: ClassVar = {"all": 0.3}


class PlansInWords(MovesRates):
    """One whose plan is not ours to read; `AdaptiveDropout` has such a one."""

    plan: ClassVar = {"*": "found while training"}


class KeepsRates(MovesRates):
    """One that says by its plan that no rate moves."""

    plan: ClassVar = {"*": Constant(0.3)}


def data(rows=64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 8, generator=generator)
    return DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=32)


def fit(model, *callbacks, rows=64, trainer=pl.Trainer, **options):
    made = trainer(
        max_epochs=1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        **options,
    )
    made.fit(model, data(rows))
    return made


def rules_of(callback):
    return {finding.rule: finding for finding in callback.findings}


def test_what_a_forward_shows_is_found_on_the_first_batch():
    diagnosis = Diagnosis()
    fit(Net(nn.Dropout(0.5), nn.BatchNorm1d(64)), diagnosis)
    found = rules_of(diagnosis)["dropout-before-batch-norm"]
    assert found.path == "net.2"
    assert "times as large" in found.evidence[1]


def test_a_good_model_has_no_findings():
    diagnosis = Diagnosis()
    fit(Net(nn.Dropout(0.3)), diagnosis)
    assert diagnosis.findings == []


def test_a_module_without_forward_is_run_through_its_one_part():
    diagnosis = Diagnosis()
    fit(WithoutForward(nn.Dropout(0.5), nn.BatchNorm1d(64)), diagnosis)
    assert rules_of(diagnosis)["dropout-before-batch-norm"].path == "net.2"


def test_without_a_forward_and_with_several_parts_the_note_says_what_to_do():
    callback = Diagnosis()
    fit(TwoParts(), callback)
    assert "Give it a `forward`, or check each part" in rules_of(callback)["not-checked"].fix


def test_data_size_and_weight_decay_are_the_trainers():
    without, with_decay, much = Diagnosis(), Diagnosis(), Diagnosis()
    fit(Net(), without)
    fit(Net(weight_decay=0.1), with_decay)
    fit(Net(), much, rows=8000, limit_train_batches=1)
    assert (
        "706 trainable parameters, 64 training" in rules_of(without)["no-regularizer"].evidence[0]
    )
    assert not with_decay.findings
    assert not much.findings


def test_a_model_left_in_evaluation_is_found():
    diagnosis, model = Diagnosis(), Net(nn.Dropout(0.3))
    model.eval()
    with pytest.warns(match="eval mode"):
        fit(model, diagnosis)
    assert rules_of(diagnosis)["eval-at-fit-start"].severity == "error"


def test_whether_rates_move_is_asked_of_the_callbacks():
    constant, moving, in_words = Diagnosis(), Diagnosis(), Diagnosis()
    callbacks = (KeepsRates(), MovesRates(), PlansInWords())
    for diagnosis, callback in zip((constant, moving, in_words), callbacks, strict=True):
        model = Net(nn.Dropout(0.3))
        model.net.compile(backend="eager")
        fit(model, diagnosis, callback)
    assert "compiled-with-float-rates" not in rules_of(constant)
    for diagnosis in (moving, in_words):
        assert rules_of(diagnosis)["compiled-with-float-rates"].severity == "warning"


@pytest.mark.parametrize(
    ("callback", "told", "fails"),
    [
        (DropoutScheduler(Linear(0.3, 0.0)), True, True),
        (DropoutScheduler(Linear(0.1, 0.3)), False, False),
        (DropoutScheduler({"net.5": Linear(0.3, 0.0)}), False, False),
        (ScaleRates(lambda progress: 1.0 - progress), True, True),
        (ScaleRates(lambda progress: 1.0 - progress / 2), False, False),
        (MovesRates(), True, False),  # nobody knows
    ],
    ids=["falls to 0", "rises", "another site", "scaled to 0", "scaled", "somebody else's"],
)
def test_an_inplace_operation_after_dropout_matters_where_its_rate_comes_to_0(
    callback, told, fails
):
    model = Net(nn.Dropout(0.3), nn.ReLU(inplace=True), nn.Linear(64, 64), nn.Dropout(0.3))
    diagnosis = Diagnosis()
    expected = pytest.raises(RuntimeError, match="modified by an inplace operation")
    with expected if fails else contextlib.nullcontext():
        fit(model, callback, diagnosis)
    assert ("inplace-after-dropout" in rules_of(diagnosis)) == told


def test_the_adaptive_rate_may_come_anywhere():
    class Validates(Net):
        def validation_step(self, batch, batch_idx):
            self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

        def val_dataloader(self):
            return data()

        def training_step(self, batch, batch_idx):
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):  # with Adam it would begin at 0, and fail at once
            return torch.optim.SGD(self.parameters(), lr=0.01)

    adaptive, diagnosis = AdaptiveDropout("val_loss"), Diagnosis()
    fit(
        Validates(nn.Dropout(0.3), nn.ReLU(inplace=True)),
        adaptive,
        diagnosis,
        num_sanity_val_steps=0,
    )
    assert "inplace-after-dropout" in rules_of(diagnosis)


def test_it_stops_before_the_first_step_when_asked_to():
    model = Net(nn.Dropout(0.5, inplace=True))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="raise_on='error':\nerror: inplace-dropout"):
        fit(model, Diagnosis(raise_on="error"))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_less_bad_findings_do_not_stop_it():
    diagnosis = Diagnosis(raise_on="error")
    fit(Net(nn.Dropout(0.5), nn.BatchNorm1d(64)), diagnosis)
    assert diagnosis.findings


def test_ignored_rules_are_silent_and_unknown_ones_are_refused():
    diagnosis = Diagnosis(["dropout-before-batch-norm"])
    fit(Net(nn.Dropout(0.5), nn.BatchNorm1d(64)), diagnosis)
    assert not diagnosis.findings
    with pytest.raises(ValueError, match="Did you mean 'double-dropout'"):
        Diagnosis(["doubledropout"])
    with pytest.raises(ValueError, match="raise_on"):
        Diagnosis(raise_on="note")


def test_training_is_the_same_to_the_bit():
    weights = []
    for callbacks in ([], [Diagnosis()]):
        torch.manual_seed(0)
        model = Net(nn.BatchNorm1d(64), nn.Dropout(0.3))
        fit(model, *callbacks)
        weights.append(model.state_dict())
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_forward_that_logs_logs_nothing_in_it():
    trainer = fit(Logs(nn.Dropout(0.3)), Diagnosis())
    assert "seen" not in trainer.callback_metrics


def test_a_forward_that_fails_on_the_batch_costs_a_note_only():
    class Fails(Net):
        def forward(self, x):
            raise ArithmeticError("no such thing")

    diagnosis = Diagnosis()
    fit(Fails(nn.Dropout(0.3)), diagnosis)
    assert "ArithmeticError: no such thing" in rules_of(diagnosis)["not-checked"].message


@pytest.mark.parametrize("stops", [None, "warning"])
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_the_run_record_holds_the_findings_whatever_the_order(tmp_path, first, stops):
    model, diagnosis = Net(nn.Dropout(0.5), nn.BatchNorm1d(64)), Diagnosis(raise_on=stops)
    callbacks = [diagnosis, RunRecord(tmp_path, page=False)]
    with pytest.raises(ValueError, match="Stopped") if stops else contextlib.nullcontext():
        fit(model, *(callbacks if first else reversed(callbacks)))
    rows = [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()]
    findings = [row for row in rows if row["type"] == "finding"]
    assert [row["rule"] for row in findings] == ["dropout-before-batch-norm"]


def test_it_works_in_the_other_namespace():
    diagnosis = Diagnosis()
    fit(Other(nn.Dropout(0.5), nn.BatchNorm1d(64)), diagnosis, trainer=lightning.pytorch.Trainer)
    assert "dropout-before-batch-norm" in rules_of(diagnosis)


@pytest.mark.multiprocess
def test_two_ranks_with_the_same_masks_are_found_and_decorrelated_ones_are_not(tmp_path):
    script = tmp_path / "two_ranks.py"
    script.write_text(
        textwrap.dedent(
            """
            import os
            import pytorch_lightning as pl
            import torch
            from torch import nn
            from thinned.callbacks import Diagnosis, DropoutScheduler

            class Net(pl.LightningModule):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Sequential(nn.Linear(8, 64), nn.Dropout(0.3), nn.Linear(64, 2))

                def forward(self, x):
                    return self.net(x)

                def training_step(self, batch, batch_idx):
                    return self(batch).square().mean()

                def configure_optimizers(self):
                    return torch.optim.SGD(self.parameters(), lr=0.1)

            if __name__ == "__main__":
                pl.seed_everything(0)
                loader = torch.utils.data.DataLoader(torch.randn(64, 8), batch_size=8)
                for callbacks in ([], [DropoutScheduler(0.3)]):
                    diagnosis = Diagnosis()
                    trainer = pl.Trainer(
                        max_steps=1, accelerator="cpu", devices=2, strategy="ddp", logger=False,
                        callbacks=[diagnosis, *callbacks], enable_progress_bar=False,
                        enable_checkpointing=False, enable_model_summary=False,
                    )
                    trainer.fit(Net(), loader)
                    if trainer.is_global_zero:
                        print("FOUND", [finding.rule for finding in diagnosis.findings], flush=True)
                torch.distributed.barrier()
                os._exit(0)  # torch's groups may abort a process that ends with them
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=120
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
    assert found == ["FOUND ['identical-masks-on-ranks']", "FOUND []"]
