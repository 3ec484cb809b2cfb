import io

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from rich.console import Console
from torch import nn

from thinned import find_sites


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 4)
        self.drop = nn.Dropout(0.3)
        self.drop_path = nn.Identity()

    def forward(self, x):
        return F.dropout(self.drop(self.lstm(x)[0]), 0.2)


def test_the_table_shows_what_a_user_wants_to_know():
    text = str(find_sites(Net(), ["deep=lstm", "*"], example_input=torch.randn(2, 3, 4)))
    lines = [line.split() for line in text.splitlines()]
    assert " ".join(lines[0]) == "3 sites; 2 dropout, 1 placeholder; 1 live, 1 dead"
    assert lines[2] == ["path", "kind", "class", "rate", "live", "group"]
    assert lines[5] == ["lstm:dropout", "dropout", "LSTM", "0", "no", "deep"]
    assert lines[6] == ["drop", "dropout", "Dropout", "0.3", "yes", "all"]
    assert lines[4] == ["drop_path", "placeholder", "Identity", "-", "-", "all"]
    assert "- lstm:dropout: one layer: torch applies this dropout between layers only" in text
    assert "- out of reach, no site holds its rate: (the model) (Net): " in text.replace("\n", " ")


def test_many_sites_are_folded_over_their_numbers():
    layers = [nn.Sequential(nn.Dropout(0.01 * k), nn.Dropout2d(0.5)) for k in range(20)]
    net = nn.ModuleDict({"blocks": nn.ModuleList(layers), "norm1": nn.Dropout(0.2)})
    lines = [line.split() for line in str(find_sites(net)).splitlines()]
    assert lines[2] == ["path", "sites", "kind", "class", "rate", "live", "group"]
    assert lines[4:] == [
        ["blocks.*.*", "20", "dropout", "Dropout", "0", "..", "0.19", "unverified", "all"],
        ["blocks.*.*", "20", "dropout", "Dropout2d", "0.5", "unverified", "all"],
        ["norm1", "1", "dropout", "Dropout", "0.2", "unverified", "all"],
    ]


def test_a_model_without_sites_has_no_table():
    assert str(find_sites(nn.Linear(2, 2))) == "0 sites"


def test_rich_prints_it_too():
    out = io.StringIO()
    Console(file=out, width=80).print(find_sites(nn.Sequential(nn.Dropout(0.25))))
    assert "0.25" in out.getvalue()
    assert "unverified" in out.getvalue()


def test_brackets_in_a_path_are_no_markup():
    class WithMapping(nn.Module):
        def __init__(self):
            super().__init__()
            self.cfg = {"dropout": 0.25}

        def forward(self, x):
            return F.dropout(x, self.cfg["dropout"])

    assert ":cfg[dropout]" in str(find_sites(WithMapping()))
