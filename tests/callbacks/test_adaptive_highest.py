"""The highest rate of `AdaptiveDropout` where nobody says one."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from helpers import tiny
from helpers.adaptive import Kept, fit
from thinned import NoEffectError, find_sites, layers
from thinned.callbacks import AdaptiveDropout
from thinned.callbacks._adaptive_law import AdaptiveLaw
from thinned.callbacks._highest import RECURRENT, highest, recurrent_before


class Net(nn.Module):
    """Children in the order of registration."""

    def __init__(self, **children):
        super().__init__()
        for name, child in children.items():
            setattr(self, name, child)


def drop():
    return nn.Dropout(0.1)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (Net(first=nn.GRU(8, 8), drop=drop(), out=nn.Linear(8, 2)), "first"),
        (Net(first=nn.Linear(8, 8), cell=nn.LSTMCell(8, 8), drop=drop()), "cell"),
        (Net(rnn=nn.LSTM(8, 8, num_layers=2, dropout=0.1)), "rnn"),  # a site of its own
        (Net(body=Net(rnn=nn.RNN(8, 8)), head=Net(drop=drop())), "body.rnn"),
        (Net(rnn=layers.VariationalGRU(8, 8, p=0.1)), "rnn"),
        (Net(embed=nn.Embedding(9, 8), drop=drop(), rnn=nn.GRU(8, 8)), None),  # it reads them
        (Net(drop=drop(), out=nn.Linear(8, 2)), None),
    ],
    ids=["behind", "cell", "between", "nested", "ours", "before", "none"],
)
def test_a_recurrent_layer_before_a_site_lowers_it(model, path, caplog):
    caplog.set_level("INFO", "thinned")
    assert recurrent_before(model, find_sites(model)) == path
    assert highest(model, "*") == (AdaptiveLaw.high if path is None else RECURRENT)
    assert ("at 0.50 or below" in caplog.text) == (path is not None)


def test_only_the_chosen_sites_count():
    model = Net(embed=drop(), rnn=nn.GRU(8, 8), head=drop())
    assert highest(model, ["embed"]) == highest(model, "*", exclude=["head"]) == AdaptiveLaw.high
    assert highest(model, ["head"]) == RECURRENT
    with pytest.raises(NoEffectError, match="nowhere"):
        highest(model, ["nowhere"])


class Sequences(Kept):
    """Reads rows of two steps with a GRU."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.GRU(4, 16, batch_first=True), drop(), nn.Linear(16, 3))

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
    fit(adaptive)  # another model: nothing recurrent
    assert adaptive.law.high == (AdaptiveLaw.high if said is None else high)
