"""The highest rate of `AdaptiveDropout` where nobody says one."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from helpers import tiny
from helpers.adaptive import Kept, fit
from thinned import NoEffectError, find_sites, layers
from thinned.callbacks import AdaptiveDropout
from thinned.callbacks._adaptive.highest import OF_SGD, STACKED, highest, stacked_before
from thinned.callbacks._adaptive.law import AdaptiveLaw


class Net(nn.Module):
    """Children in the order of registration."""

    def __init__(self, **children):
        super().__init__()
        for name, child in children.items():
            setattr(self, name, child)


def drop():
    return nn.Dropout(0.1)


@pytest.mark.parametrize(
    ("model", "paths"),
    [
        (Net(a=nn.GRU(8, 8), b=nn.GRU(8, 8), drop=drop(), out=nn.Linear(8, 2)), ["a", "b"]),
        (Net(a=nn.LSTMCell(8, 8), b=nn.LSTMCell(8, 8), drop=drop()), ["a", "b"]),
        (Net(rnn=nn.LSTM(8, 8, num_layers=2, dropout=0.1)), ["rnn"]),  # a site of its own
        (Net(rnn=nn.LSTM(8, 8, num_layers=2), head=Net(drop=drop())), ["rnn"]),
        (Net(body=Net(rnn=layers.VariationalGRU(8, 8, 2, p=0.1))), ["body.rnn"]),
        (Net(rnn=nn.GRU(8, 8), drop=drop()), []),  # one layer
        (Net(rnn=nn.GRU(8, 8, bidirectional=True), drop=drop()), []),
        (Net(a=nn.GRU(8, 8), drop=drop(), b=nn.GRU(8, 8)), ["a", "b"]),
        (Net(embed=nn.Embedding(9, 8), drop=drop(), a=nn.GRU(8, 8), b=nn.GRU(8, 8)), []),
        (Net(drop=drop(), out=nn.Linear(8, 2)), []),
    ],
    ids=["two", "cells", "own", "nested", "ours", "one", "both ways", "between", "before", "none"],
)
def test_stacked_recurrent_layers_lower_it_for_sites_that_are_not_before_them(model, paths, caplog):
    caplog.set_level("INFO", "thinned")
    assert stacked_before(model, find_sites(model)) == paths
    assert highest(model, "*") == (STACKED if paths else AdaptiveLaw.high)
    assert ("at 0.50 or below" in caplog.text) == bool(paths)


@pytest.mark.parametrize(
    ("optimizer", "bound"),
    [(torch.optim.SGD, OF_SGD), (torch.optim.AdamW, AdaptiveLaw.high), (None, AdaptiveLaw.high)],
)
def test_sgd_lowers_it(optimizer, bound, caplog):
    caplog.set_level("INFO", "thinned")
    model = Net(drop=drop(), out=nn.Linear(8, 2))
    made = [] if optimizer is None else [optimizer(model.parameters(), 0.1)]
    assert highest(model, "*", optimizers=made) == bound
    assert ("at 0.80 or below, with SGD" in caplog.text) == (bound == OF_SGD)
    stack = Net(rnn=nn.LSTM(8, 8, num_layers=2, dropout=0.1))
    assert highest(stack, "*", optimizers=made) == STACKED


def test_only_the_chosen_sites_count():
    model = Net(embed=drop(), rnn=nn.GRU(8, 8, num_layers=2), head=drop())
    before = {"include": ["embed"]}, {"include": "*", "exclude": ["rnn", "head"]}
    assert [highest(model, **chosen) for chosen in before] == [AdaptiveLaw.high] * 2
    assert highest(model, ["head"]) == STACKED
    with pytest.raises(NoEffectError, match="nowhere"):
        highest(model, ["nowhere"])


class Sequences(Kept):
    """Reads rows of two steps with two GRU layers."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.GRU(4, 16, 2, batch_first=True), drop(), nn.Linear(16, 3))

    def forward(self, x):
        rnn, site, out = self.net
        return out(site(rnn(x.view(len(x), 2, 4))[0][:, -1]))


@pytest.mark.parametrize(("said", "high"), [(None, 0.5), (0.8, 0.8), (0.3, 0.3)])
def test_in_a_run_it_bounds_the_start_and_every_rate(said, high):
    x = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(32) % 3  # nothing to learn but by heart
    data = DataLoader(TensorDataset(x, y), batch_size=32)
    adaptive, module = AdaptiveDropout(highest=said), Sequences()
    options = {"max_epochs": 200, "check_val_every_n_epoch": 20}
    tiny.fit([adaptive], module=module, train=data, val=data, **options)
    assert adaptive.law.high == high
    assert adaptive.history[0]["rate"] == high  # where 200 passes begin is above all of them
    assert max(row["next_rate"] for row in adaptive.history) <= high
    fit(adaptive)  # another model: nothing is recurrent, and its optimizer is SGD
    assert adaptive.law.high == (OF_SGD if said is None else high)
