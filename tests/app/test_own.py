"""Somebody's own LightningModule and data, with other names than ours, on the command line."""

import json
import re
from pathlib import Path

import pytest

from helpers.app import only

OWN = """
import pytorch_lightning as pl
import torch
from torch import nn


class Wave(pl.LightningModule):
    def __init__(self, hidden=8):
        super().__init__()
        layers = nn.Linear(4, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, 1)
        self.body = nn.Sequential(*layers)

    def training_step(self, batch, index):
        loss = nn.functional.mse_loss(self.body(batch[0]), batch[1])
        self.log("train/mse", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, index):
        self.log("valid/mse", nn.functional.mse_loss(self.body(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


class Data(pl.LightningDataModule):
    def train_dataloader(self):
        x = torch.randn(32, 4, generator=torch.Generator().manual_seed(1))
        return torch.utils.data.DataLoader(list(zip(x, x[:, :1])), batch_size=8)

    val_dataloader = train_dataloader
"""
DATA = ["~data", "+data={_target_:own_package_of_a_test.Data}"]


@pytest.fixture
def own(quick):
    """Overrides for a run of it."""
    Path("own_package_of_a_test.py").write_text(OWN)
    name = "own_package_of_a_test"
    given = [each for each in quick if not each.startswith("data.")]
    return [*given, "model=own", f"model._target_={name}.Wave", f"allow_targets=[{name}]"]


def test_the_objective_is_what_checkpoint_and_verdict_go_by(train, own):
    code, err = train(*own, *DATA, "model._partial_=false", "objective=valid/mse")
    assert code == 0, err
    rows = [json.loads(line) for line in only("runs/*/*/record.jsonl").read_text().splitlines()]
    assert [row["monitor"] for row in rows if row.get("monitor")][-1] == "valid/mse"
    assert only("runs/*/*/checkpoints/best.ckpt").exists()
    assert "no test: `test_step` of the model or `test_dataloader` is missing" in err
    assert re.search(r": train/mse [\d.]+, valid/mse [\d.]+\n\Z", err)


@pytest.mark.parametrize("callbacks", ["default", "none"])
def test_a_module_that_does_not_fit_our_data_is_told_what_they_are(train, own, callbacks):
    kept = [each for each in own if not each.startswith("callbacks.")]
    code, err = train(*kept, "model._partial_=false", f"callbacks={callbacks}")
    assert code == 1
    assert err.endswith(
        "The data are SklearnData, samples of shape (1, 8, 8). For data of your own: ~data "
        "'+data={_target_: package.Class}'.\n"
    )
    neither = "validation_step can read a batch neither of the training loader nor of the valid"
    assert (neither in err) == (callbacks == "default")


def test_a_network_without_dropout_is_told_what_to_type(train, own):
    Path("own_plain_of_a_test.py").write_text(
        "from torch import nn\n\n\n"
        "def build(shape, outputs):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))\n"
    )
    kept = [each for each in own if "own_package" not in each]
    name = "own_plain_of_a_test"
    code, err = train(*kept, f"model._target_={name}.build", f"allow_targets=[{name}]")
    assert code == 2
    assert "holds no site at all; callbacks=[default,insert] puts dropout in." in err


def test_a_metric_of_another_name_is_named_by_the_objective(train, own):
    code, err = train(*own, *DATA, "model._partial_=false")
    assert code == 2
    assert "none contains 'loss'. Name one: objective=KEY. Logged: 'valid/mse'." in err


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ([], "It was given shape and outputs of the data first. "),
        (DATA, "Expected `data` to have `shape` and `outputs`, it has no shape and no outputs. "),
    ],
)
def test_a_module_that_takes_no_shape_says_how_it_is_used(train, own, data, why):
    code, err = train(*own, *data)
    assert code == 2
    assert f"{why}A LightningModule is used as it is with model._partial_=false." in err
