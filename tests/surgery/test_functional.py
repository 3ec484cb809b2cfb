from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from torch import nn

import thinned
from thinned import find_sites


class Constant(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.3, self.training)  # written out


class Default(nn.Module):
    def forward(self, x):
        return torch.dropout(F.dropout(x), p=0.2, train=True)


class Keyword(nn.Module):
    def forward(self, x):
        p = 0.1 if self.training else 0.0
        return F.scaled_dot_product_attention(x, x, x, dropout_p=p)


class BuiltInForward(nn.Module):
    def forward(self, x):
        return nn.Dropout(0.5)(x)


class Numpy(nn.Module):
    def forward(self, x):
        return x if np.random.rand() > 0.5 else 2 * x


@pytest.mark.parametrize(
    ("cls", "lines"),
    [
        (Constant, ["return F.dropout(x, 0.3, self.training)  # written out"]),
        (Default, ["return torch.dropout(F.dropout(x), p=0.2, train=True)"]),
        (Keyword, ["return F.scaled_dot_product_attention(x, x, x, dropout_p=p)"]),
        (BuiltInForward, ["return nn.Dropout(0.5)(x)"]),
        (Numpy, ["return x if np.random.rand() > 0.5 else 2 * x"]),
    ],
)
def test_dropout_out_of_reach_is_listed_with_file_and_line(cls, lines):
    found = find_sites(nn.Sequential(nn.Linear(2, 2), cls())).out_of_reach
    assert [call.code for call in found] == lines
    source = Path(__file__).read_text().splitlines()
    for call in found:
        assert call.path == "1"
        assert call.cls == cls.__name__
        assert Path(call.file) == Path(__file__)
        assert source[call.line - 1].strip() == call.code
        assert f"{call.line}: {call.code}" in str(call)


class Fine(nn.Module):
    rate = 0.1

    def __init__(self):
        super().__init__()
        self.p = 0.1

    def forward(self, x, p=0.5):
        x = F.dropout(x, self.p, self.training)
        x = F.dropout(x, 0.5, False)
        x = F.dropout(x, 0.0)
        x = F.dropout(x, p)  # an argument: whoever calls decides
        return self.dropout(x, 0.3)

    def dropout(self, x, amount):
        return x

    def reset_parameters(self):
        F.dropout(torch.ones(1), 0.5)


def test_what_is_in_reach_or_off_is_not_listed():
    assert find_sites(Fine()).out_of_reach == ()


def test_the_error_names_what_is_out_of_reach():
    with pytest.raises(thinned.NoEffectError, match=r"Out of reach: 0 \(Constant\): .*F\.dropout"):
        thinned.set_rate(nn.Sequential(Constant()), 0.1)


class Hidden(nn.Module):
    """The source cannot tell: the rate comes out of a function."""

    def rate(self):
        return 0.25

    def forward(self, x):
        return F.dropout(x, self.rate(), True)


def test_a_run_finds_what_reading_cannot():
    net = nn.Sequential(nn.Linear(2, 2), Hidden())
    assert find_sites(net).out_of_reach == ()
    (call,) = find_sites(net, example_input=torch.ones(3, 2)).out_of_reach
    assert (call.path, call.cls) == ("1", "Hidden")
    assert call.code == "return F.dropout(x, self.rate(), True)"
