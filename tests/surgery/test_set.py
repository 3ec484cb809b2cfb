import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import thinned
from thinned import NoEffectError, ThinnedWarning, find_sites, set_rate, swap


class DropPath(nn.Module):
    def __init__(self, drop_prob=0.1):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x):
        return x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1), DropPath(0.1))
        self.head = nn.Sequential(nn.Dropout1d(0.1), nn.Linear(4, 2))

    def forward(self, x):
        return self.head(self.body(x))


def rates(model):
    return {site.path: site.rate for site in find_sites(model)}


def test_only_dropout_is_set_unless_named():
    net = Net()
    assert set_rate(net, 0.3) == 2
    assert rates(net) == {"body.1": 0.3, "body.2": 0.1, "head.0": 0.3}


def test_a_pattern_names_every_kind():
    net = Net()
    assert set_rate(net, 0.3, "body.*") == 2
    assert rates(net) == {"body.1": 0.3, "body.2": 0.3, "head.0": 0.1}


def test_kinds_are_named():
    net = Net()
    assert set_rate(net, 0.3, kinds="drop_path") == 1
    assert set_rate(net, 0.2, kinds=["drop_path", "dropout"]) == 3
    assert set_rate(net, 0.4, kinds="all") == 3
    assert set_rate(net, 0.4, kinds=["all"]) == 3  # as a list in YAML is written
    assert set(rates(net).values()) == {0.4}


def test_exclude_leaves_out():
    net = Net()
    assert set_rate(net, 0.3, exclude="head") == 1
    assert rates(net)["head.0"] == 0.1


def test_sites_may_be_given():
    net = Net()
    assert set_rate(find_sites(net), 0.2) == 2
    assert set_rate(find_sites(net, kinds="drop_path"), 0.2) == 1
    assert set_rate([find_sites(net)[1]], 0.7) == 1
    assert rates(net) == {"body.1": 0.2, "body.2": 0.7, "head.0": 0.2}


@pytest.mark.parametrize("given", [3, [nn.Dropout()], "model", nn.Dropout])
def test_neither_a_model_nor_sites(given):
    with pytest.raises(TypeError, match=r"Expected .*model.*, got .*"):
        set_rate(given, 0.1)


def test_a_number_of_numpy_is_a_rate():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(np.float32(0.25)), nn.Linear(2, 2))
    assert rates(net) == {"1": 0.25}
    assert str(swap(net, {"Dropout": "gaussian"})).endswith("GaussianDropout(p=0.25)")
    assert set_rate(net, np.float32(0.5)) == 1
    assert type(net[1].p) is float


@pytest.mark.parametrize("rate", [1.5, -0.1, math.nan])
def test_a_rate_lies_between_0_and_1(rate):
    net = Net()
    with pytest.raises(ValueError, match=r"Expected `rate` to be a rate in \[0, 1\], got"):
        set_rate(net, rate)
    assert rates(net)["body.1"] == 0.1


def test_a_wrong_rate_exchanges_no_layer_in_compiled_code():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    with pytest.raises(ValueError, match=r"got 1\.5"):
        set_rate(torch.compile(net, backend="eager"), 1.5)
    assert type(net[1]) is nn.Dropout


@pytest.mark.parametrize("text", ["abc", "0.1"])
def test_a_rate_is_a_number(text):
    with pytest.raises(TypeError, match=rf"Expected `rate` .* got '{text}'"):
        set_rate(Net(), text)


def test_no_match_says_what_the_model_holds():
    with pytest.raises(
        NoEffectError, match=r"include='heads.*'.* body\.1 \(dropout, Dropout, 0\.1\)"
    ):
        set_rate(Net(), 0.1, "heads.*")
    with pytest.raises(NoEffectError, match="Did you mean 'head'"):
        set_rate(Net(), 0.1, "heads.*")


def test_no_match_says_when_there_is_nothing():
    with pytest.raises(NoEffectError, match="holds no site at all"):
        set_rate(nn.Linear(2, 2), 0.1)


def test_no_match_says_that_a_kind_must_be_named():
    with pytest.raises(NoEffectError, match="need `kinds=` or a pattern"):
        set_rate(nn.Sequential(DropPath()), 0.1)


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="Did you mean 'drop_path'"):
        set_rate(Net(), 0.1, kinds="droppath")


def test_only_dead_sites_are_no_effect():
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        lstm = nn.LSTM(3, 3, dropout=0.2)
    with pytest.raises(NoEffectError, match="one layer: torch applies"):
        set_rate(lstm, 0.1)
    assert lstm.dropout == 0.2


def test_dead_sites_do_not_count():
    net = nn.Sequential(nn.LSTM(3, 3), nn.Dropout())
    assert set_rate(net, 0.1) == 1


def test_a_site_with_two_names_is_one_and_answers_to_both():
    shared = nn.Dropout(0.1)
    net = nn.ModuleDict({"a": nn.Sequential(shared), "b": nn.Sequential(shared)})
    assert [(s.path, s.aliases) for s in find_sites(net)] == [("a.0", ("b.0",))]
    assert set_rate(net, 0.5, "b") == 1
    assert shared.p == 0.5


def test_a_third_party_class_is_one_row(monkeypatch):
    from thinned.surgery._models import known

    monkeypatch.setattr(known, "_RULES", list(known._RULES))

    class Blur(nn.Module):
        strength = 0.25

    thinned.register_site(Blur, "strength", "drop_block")
    net = nn.Sequential(Blur())
    assert [(s.path, s.kind, s.rate) for s in find_sites(net)] == [
        ("0:strength", "drop_block", 0.25)
    ]
    assert set_rate(net, 0.5, kinds="drop_block") == 1
    assert net[0].strength == 0.5
    known._rules_of.clear()


@pytest.mark.parametrize(
    ("given", "told"),
    [((3,), "`cls` to be a name or a class, got 3"), (("A", 1), "`attribute` to be a name, got 1")],
)
def test_what_names_no_site_is_not_registered(given, told):
    with pytest.raises(TypeError, match=told):
        thinned.register_site(*given)
    thinned.find_sites(Net())


def test_hooks_with_a_rate_are_sites():
    class Hook:
        kind, name, p = "drop_path", "depth", 0.2

        def pick(self, module, inputs):
            return None

        def __call__(self, module, inputs, output):
            return None

    net, hook = nn.Sequential(nn.Linear(2, 2)), Hook()
    net[0].register_forward_pre_hook(hook.pick)
    net[0].register_forward_hook(hook)
    assert [(s.path, s.kind, s.rate) for s in find_sites(net)] == [("0:depth", "drop_path", 0.2)]
    assert set_rate(net, 0.4, "0") == 1
    assert hook.p == 0.4


class Reads(nn.Module):
    """Holds its rates as numbers, which no layer can stand in for."""

    def __init__(self):
        super().__init__()
        self.attention_dropout, self.hidden_dropout = 0.0, 0.0

    def forward(self, x):
        x = functional.dropout(x, self.attention_dropout, self.training)
        return functional.dropout(x, self.hidden_dropout, self.training)


def test_the_warning_of_few_values_says_of_how_many_sites_and_is_of_the_caller():
    compiled = torch.compile(Reads(), backend="eager")
    for rate in (0.5, 0.25):
        assert set_rate(compiled, rate) == 2
    with pytest.warns(ThinnedWarning, match="recompile_limit` gives more values") as caught:
        set_rate(compiled, 0.31)
    (warned,) = caught
    assert warned.filename == __file__
    assert str(warned.message).startswith(
        "':attention_dropout' (2 in all) runs compiled and cannot be exchanged: its rate takes at "
        "most 3 values, and is 0.25 now instead of 0.31. "
    )


def test_groups_are_named_by_the_first_pattern():
    sites = find_sites(Net(), ["deep=body.1", "body.*", "head.*"])
    assert [(s.path, s.group) for s in sites] == [
        ("body.1", "deep"),
        ("body.2", "body"),
        ("head.0", "head"),
    ]
