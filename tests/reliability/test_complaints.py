"""Each complaint of the list has its tests, and they are there; those that had none are here."""

import re
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

import thinned
from helpers import tiny
from thinned import ThinnedWarning, layers
from thinned.callbacks import DropoutScheduler, RunRecord
from thinned.integrations.ultralytics._judge import described, judged
from thinned.report import read_record
from thinned.schedules import Linear
from thinned.surgery._running.trace import trace

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("complaints.txt")


def rows():
    lines = LIST.read_text("utf-8").splitlines()
    return [line.split(" | ") for line in lines if not line.startswith("#")]


def test_every_complaint_is_answered_by_tests_that_exist():
    found = rows()
    assert [number for number, *_ in found] == [
        *(str(number) for number in range(1, 86)),
        *(f"E{number}" for number in range(1, 9)),
    ]
    for number, _, _, tests in found:
        assert tests.split(), number
        for test in tests.split():
            place, _, name = test.partition("::")
            room, _, file = place.rpartition("/")
            top = "tests-integrations" if room == "yolo" else "tests"
            path = ROOT / top / room / f"test_{file}.py"
            assert path.is_file(), test
            assert re.search(rf"^def test_{name}\(", path.read_text("utf-8"), re.MULTILINE), test


def test_one_call_switches_all_dropout_off():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)
            self.lstm = nn.LSTM(8, 8, 2, dropout=0.2, batch_first=True)
            self.drop = nn.Dropout(0.3)
            self.hidden_dropout = 0.4

        def forward(self, x):
            x = self.lstm(self.attention(x, x, x)[0])[0]
            return nn.functional.dropout(self.drop(x), self.hidden_dropout, self.training)

    model, x = Block().train(), torch.randn(2, 5, 8)
    assert not torch.equal(model(x), model(x))
    assert thinned.set_rate(model, 0.0) == 4
    assert torch.equal(model(x), model(x))
    assert torch.equal(model(x), model.eval()(x))


def test_rates_that_were_set_are_told_again_after_a_load(tmp_path):
    # Rates are in no state_dict: the record has them, whatever a library's configuration says.
    module = tiny.TinyModule()
    thinned.set_rate(module, 0.25)
    tiny.fit([RunRecord(tmp_path, page=False, summary=False)], module=module)
    fresh = tiny.TinyModule()
    fresh.load_state_dict(module.state_dict())
    assert {site.rate for site in thinned.find_sites(fresh)} == {0.5}
    held = read_record(tmp_path).rates[-1].sites
    for path, rate in held.items():
        thinned.set_rate(fresh, rate, path)
    assert {site.rate for site in thinned.find_sites(fresh)} == {0.25}


def test_a_schedule_that_drops_nothing_is_told():
    with pytest.warns(ThinnedWarning, match="drops nothing"):
        tiny.fit([DropoutScheduler(Linear(0.0, 0.0))])


def test_cycles_of_a_configuration_turn_within_the_training():
    written = OmegaConf.load(ROOT / "conf" / "schedule" / "cyclic.yaml")
    schedule = instantiate(OmegaConf.merge(written, {"low": 0.1, "high": 0.5, "cycles": 2}))
    held = []

    class Look(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            held.append(pl_module.net[2].p)

    fit = {"train": tiny.loader(9 * 8), "max_epochs": 1, "accumulate_grad_batches": 2}
    tiny.fit([DropoutScheduler(schedule), Look()], **fit)
    assert held == pytest.approx([0.1, 0.3, 0.5, 0.3, 0.1, 0.3, 0.5, 0.3, 0.1])


def test_returned_attention_weights_sum_to_1_where_nothing_is_dropped():
    attention, x = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True), torch.randn(4, 6, 8)

    def all_sum_to_1():
        sums = attention(x, x, x)[1].sum(-1)
        return torch.allclose(sums, torch.ones_like(sums))

    assert not all_sum_to_1()
    thinned.set_rate(attention, 0.0)
    assert all_sum_to_1()
    thinned.set_rate(attention, 0.5)
    attention.eval()
    assert all_sum_to_1()


def test_attention_at_rate_0_calls_what_attention_without_dropout_calls():
    def encoder(rate):
        return nn.TransformerEncoderLayer(8, 2, 16, dropout=rate, batch_first=True)

    model, x = encoder(0.1), torch.randn(2, 5, 8)
    without = trace(encoder(0.0), (x,), {})
    assert not trace(model, (x,), {}).same_draws(without)
    thinned.set_rate(model, 0.0)
    assert trace(model, (x,), {}).same_draws(without)
    before = torch.get_rng_state()
    model.train()(x)
    assert torch.equal(torch.get_rng_state(), before)


def test_skipping_saves_less_for_the_backward_pass():
    def saved(mode):
        block = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 32))
        layer, held = layers.StochasticDepth(block, 0.5, mode=mode), []
        weights = {parameter.data_ptr() for parameter in block.parameters()}

        def keep(tensor):
            if tensor.data_ptr() not in weights:
                held.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            layer(torch.randn(64, 32))
        return sum(held)

    assert saved("skip") < 0.7 * saved("mask")


def test_the_curve_that_overfits_is_named():
    history = []
    for epoch in range(20):
        rising = 1.0 + 0.05 * abs(epoch - 8)  # lowest at 8, the 9th epoch
        row = {
            "epoch": epoch,
            "rate": 0.1,
            "val/box_loss": 2 - 0.05 * epoch,
            "val/cls_loss": rising,
        }
        row["val/loss"] = row["val/box_loss"] + row["val/cls_loss"]
        for key in ("box_loss", "cls_loss", "loss"):
            probe = 1.5 - 0.05 * epoch
            row |= {f"overfit/probe/val/{key}": probe}
            row |= {f"overfit/gap/val/{key}": row[f"val/{key}"] - probe}
        history.append(row)
    found, said = judged(history)
    assert found["overfit/onset/val/cls_loss"] == 8
    assert "overfit/onset/val/box_loss" not in found
    history[-1] |= found
    lines = "\n".join(described(history, said))
    assert re.search(r"val/cls_loss: .* rising since epoch 9", lines)
    assert not re.search(r"val/box_loss: .* rising", lines)
