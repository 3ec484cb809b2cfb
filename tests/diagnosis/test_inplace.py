"""Dropout that writes into its input."""

import pytest
import torch
from torch import nn

from helpers.diagnosing import Calls, found, mlp
from thinned import set_rate

X = torch.randn(8, 16)
INPLACE = nn.Dropout(0.3, inplace=True)


@pytest.mark.parametrize("example", [X, None], ids=["traced", "structure"])
def test_writing_over_what_relu_needs_is_an_error_and_indeed_fails(example):
    model = mlp(INPLACE)
    [finding] = found(model, example)["inplace-dropout"]
    assert finding.severity == "error"
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        model(X).sum().backward()


@pytest.mark.parametrize("example", [X, None], ids=["traced", "structure"])
@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(16, 64), nn.Hardswish(), INPLACE, nn.Linear(64, 2)),
        nn.Sequential(nn.Linear(16, 64), INPLACE, nn.Linear(64, 2)),
        mlp(nn.Dropout(0.3)),
    ],
)
def test_where_nobody_needs_it_it_is_right_and_trains(model, example):
    assert "inplace-dropout" not in found(model, example)
    model(X).sum().backward()


def test_a_copy_may_be_written_into():
    model = Calls(lambda self, x: x + self.drop(x.clone()), drop=INPLACE)
    assert "inplace-dropout" not in found(model, X)


# A schedule that moves the rate, as in pytorch issue 28017: both begin well and fail later.

EITHER = pytest.mark.parametrize("example", [X, None], ids=["traced", "structure"])


@EITHER
def test_a_schedule_that_begins_at_0_hides_nothing(example):
    model = mlp(nn.Dropout(0.0, inplace=True))
    model(X).sum().backward()  # at rate 0 nothing is written
    assert "inplace-dropout" not in found(model, example)
    [finding] = found(model, example, scheduled=True)["inplace-dropout"]
    assert "leaves rate 0" in finding.message
    set_rate(model, 0.3)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        model(X).sum().backward()


def test_dropout_that_rests_in_a_model_that_trains_stays_at_rest():
    model = mlp(nn.Dropout(0.0, inplace=True))
    model[2].eval()
    assert "inplace-dropout" not in found(model, X, scheduled=True)


class Residual(nn.Module):
    """Adds in place to what its dropout returned."""

    def __init__(self, rate=0.3):
        super().__init__()
        self.conv, self.drop = nn.Linear(16, 16), nn.Dropout(rate)

    def forward(self, x):
        out = self.drop(self.conv(x).relu())
        out += x
        return out


class Counts(nn.Module):
    """Adds what its dropout returned to a buffer, which nothing in the forward has made."""

    def __init__(self):
        super().__init__()
        self.linear, self.drop = nn.Linear(16, 16), nn.Dropout(0.3)
        self.register_buffer("total", torch.zeros(8, 16))

    def forward(self, x):
        out = self.drop(self.linear(x).relu())
        self.total.add_(out.detach())
        return out


def behind(*layers):
    return nn.Sequential(nn.Linear(16, 16), *layers, nn.Linear(16, 2))


WRITES = [
    Residual(),
    behind(nn.Sigmoid(), nn.Dropout(0.3), nn.ReLU(inplace=True)),
    behind(nn.Tanh(), nn.Dropout(0.3), nn.Flatten(), nn.Hardtanh(-1, 1, inplace=True)),
]


@pytest.mark.parametrize("model", WRITES, ids=["residual", "activation", "through a view"])
def test_writing_into_what_dropout_at_rate_0_only_hands_on_is_found_and_indeed_fails(model):
    [finding] = found(model, X, scheduled=True)["inplace-after-dropout"]
    assert finding.severity == "warning"
    assert "inplace-after-dropout" not in found(model, X)
    model(X).sum().backward()  # dropout above rate 0 makes a tensor of its own
    set_rate(model, 0.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        model(X).sum().backward()
    set_rate(model, 0.3)


@pytest.mark.parametrize(
    ("span", "told"),
    [
        ({"2": (0.0, 0.3)}, True),
        ({"2": (0.1, 0.5)}, False),
        ({"4": (0.0, 0.3)}, False),
        ({}, False),
    ],
    ids=["comes to 0", "stays above 0", "of another site", "none moves"],
)
def test_what_counts_is_the_lowest_rate_of_this_very_dropout(span, told):
    model = behind(nn.Sigmoid(), nn.Dropout(0.3), nn.ReLU(inplace=True))
    context = {"scheduled": True, "rate_ranges": span}
    assert ("inplace-after-dropout" in found(model, X, **context)) == told


@pytest.mark.parametrize(("high", "told"), [(0.3, True), (0.0, False)])
def test_what_never_leaves_0_writes_nothing(high, told):
    model = mlp(nn.Dropout(0.0, inplace=True))
    context = {"scheduled": True, "rate_ranges": {"2:p": (0.0, high)}}
    assert ("inplace-dropout" in found(model, X, **context)) == told


def test_the_structure_is_enough_for_layers_in_a_row():
    assert "inplace-after-dropout" in found(WRITES[1], scheduled=True)


@pytest.mark.parametrize(
    "model",
    [
        behind(nn.Dropout(0.3), nn.ReLU(inplace=True)),
        behind(nn.ReLU(inplace=True), nn.Dropout(0.3)),
        behind(nn.GELU(), nn.Dropout(0.3), nn.ReLU(inplace=True)),
        Calls(lambda self, x: x.mul(1).add_(self.drop(x)), drop=nn.Dropout(0.3)),
        Counts(),
    ],
    ids=[
        *("of a linear layer", "before it", "a backward that reads the input", "into the other"),
        "into a buffer",
    ],
)
def test_where_no_backward_reads_it_a_schedule_to_0_trains(model):
    assert "inplace-after-dropout" not in found(model, X, scheduled=True)
    for rate in (0.3, 0.0, 0.3):
        set_rate(model, rate)
        model(X).sum().backward()
