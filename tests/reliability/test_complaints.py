"""Each complaint of the list has its tests, and they are there; those that had none are here."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import thinned
from helpers import tiny
from thinned import ThinnedWarning
from thinned.callbacks import DropoutScheduler, RunRecord
from thinned.report import read_record
from thinned.schedules import Linear

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("complaints.txt")


def rows():
    lines = LIST.read_text("utf-8").splitlines()
    return [line.split(" | ") for line in lines if not line.startswith("#")]


def test_every_complaint_is_answered_by_tests_that_exist():
    found = rows()
    assert [int(number) for number, *_ in found] == list(range(1, 86))
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
