import dataclasses
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from torch import nn

import thinned
from thinned import find_sites


class Config:
    def __init__(self, **values):
        vars(self).update(values)


def listed(model, **options):
    return [(s.path, s.kind, s.rate) for s in find_sites(model, **options)]


def test_torchs_own_layers():
    net = nn.ModuleDict(
        {
            "d": nn.Dropout(0.1),
            "d2": nn.Dropout2d(0.2),
            "a": nn.AlphaDropout(0.3),
            "lstm": nn.LSTM(2, 2, num_layers=2, dropout=0.4),
            "mha": nn.MultiheadAttention(4, 2, dropout=0.5),
        }
    )
    assert listed(net) == [
        ("d", "dropout", 0.1),
        ("d2", "dropout", 0.2),
        ("a", "dropout", 0.3),
        ("lstm:dropout", "dropout", 0.4),
        ("mha:dropout", "dropout", 0.5),
    ]


def test_our_own_layers():
    net = nn.Sequential(thinned.layers.Dropout(0.2), thinned.layers.DropConnectLinear(3, 3, p=0.3))
    assert listed(net) == [("0", "dropout", 0.2), ("1", "dropout", 0.3)]
    assert thinned.set_rate(net, 0.4) == 2
    assert [layer.p for layer in net] == [0.4, 0.4]


def test_a_dropout_called_drop_path_is_dropout():
    """Hugging Face's EfficientNet and PatchTST have such: the class decides, not the name."""
    assert listed(nn.ModuleDict({"drop_path": nn.Dropout(0.1)})) == [("drop_path", "dropout", 0.1)]


@pytest.mark.parametrize(
    ("name", "attribute", "kind"),
    [
        ("ConvNextDropPath", "drop_prob", "drop_path"),
        ("DropPath", "p", "drop_path"),
        ("DropBlock2d", "drop_prob", "drop_block"),
        ("PatchDropout", "prob", "token_drop"),
        ("StableDropout", "drop_prob", "dropout"),
        ("MyDropout", "p", "dropout"),
    ],
)
def test_classes_are_known_by_name(name, attribute, kind):
    layer = type(name, (nn.Module,), {})()
    setattr(layer, attribute, 0.2)
    ((path, found, rate),) = listed(nn.Sequential(layer))
    assert (path.partition(":")[0], found, rate) == ("0", kind, 0.2)
    assert thinned.set_rate(layer, 0.3, kinds="all") == 1
    assert getattr(layer, attribute) == 0.3


def test_a_class_is_no_model():
    with pytest.raises(TypeError, match=r"got <class .*That is a class; give an instance, Flat"):
        thinned.find_sites(nn.Flatten)


class FloatBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_dropout = 0.1
        self.layerdrop = 0
        self.idle_dropout = 0.3
        self.p = 0.2
        self.drop_last = True
        self.dropout_scale = 4.0

    def forward(self, x):
        if np.random.uniform() < self.layerdrop:
            return x
        x = F.dropout(x, p=self.attention_dropout, training=self.training)
        return F.dropout(x, p=self.p if self.training else 0.0)


def test_floats_are_found_by_name_and_by_use():
    net = nn.Sequential(FloatBlock())
    assert listed(net) == [
        ("0:attention_dropout", "dropout", 0.1),
        ("0:layerdrop", "layer_drop", 0.0),
        ("0:idle_dropout", "dropout", 0.3),
        ("0:p", "dropout", 0.2),
    ]


def test_a_float_that_no_forward_reads_is_dead():
    sites = {s.attribute: s for s in find_sites(FloatBlock())}
    assert sites["idle_dropout"].live is False
    assert sites["idle_dropout"].note == "no forward reads it"
    assert sites["attention_dropout"].live is None


class Reader(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        config = self.config
        return F.dropout(self.linear(x), config.hidden_dropout, self.training)


class Layers(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList([Reader(config), Reader(config)])
        self.cfg = {"dropout": 0.25}

    def forward(self, x):
        for layer in self.layers:
            if torch.rand([]) < self.config.layerdrop:
                continue
            x = layer(x)
        return F.dropout(x, self.cfg["dropout"], self.training)


def test_a_config_that_a_forward_reads_is_one_site():
    net = Layers(Config(hidden_dropout=0.1, layerdrop=0.2, attention_dropout=0.3, name="x"))
    sites = find_sites(net)
    assert [(s.path, s.kind, s.rate) for s in sites] == [
        (":cfg[dropout]", "dropout", 0.25),
        (":config.layerdrop", "layer_drop", 0.2),
        ("layers.0:config.hidden_dropout", "dropout", 0.1),
    ]
    assert sites[2].aliases == ("layers.1:config.hidden_dropout",)
    assert thinned.set_rate(net, 0.5, "layers.1") == 1
    assert net.config.hidden_dropout == 0.5
    assert thinned.set_rate(net, 0.4) == 2
    assert net.cfg == {"dropout": 0.4}


def test_a_frozen_config_is_out_of_reach():
    @dataclasses.dataclass(frozen=True)
    class Frozen:
        hidden_dropout: float = 0.1

    net = nn.Sequential(Reader(Frozen()), nn.Dropout(0.2))
    sites = find_sites(net)
    assert sites.rates == {"1": 0.2}
    (call,) = sites.out_of_reach
    assert (call.path, call.cls) == ("0", "Reader")
    assert call.code == "reads self.config.hidden_dropout, and Frozen cannot be written to"
    assert thinned.set_rate(net, 0.3) == 1


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn_drop = nn.Dropout(0.1)
        self.proj_drop = nn.Dropout(0.1)

    def forward(self, x):
        p = self.attn_drop.p if self.training else 0.0
        x = F.scaled_dot_product_attention(x, x, x, dropout_p=p)
        return self.proj_drop(x)


def test_who_reads_a_rate_off_another_module_is_known():
    read, called = find_sites(nn.Sequential(Attention()))
    assert (read.path, read.read_by) == ("0.attn_drop", ("0",))
    assert called.read_by == ()


class Gaps(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop_path1 = nn.Identity()
        self.proj_drop = nn.Identity()
        self.drop_block = None
        self.dropout = None
        self.norm = nn.Identity()
        self.downsample = None

    def forward(self, x):
        return x


def test_placeholders_are_listed_and_never_set():
    net = nn.Sequential(Gaps())
    assert [(s.path, s.kind, s.cls) for s in find_sites(net)] == [
        ("0.drop_path1", "placeholder", "Identity"),
        ("0.proj_drop", "placeholder", "Identity"),
        ("0:drop_block", "placeholder", "None"),
        ("0:dropout", "placeholder", "None"),
    ]
    with pytest.raises(thinned.NoEffectError, match="none does"):
        thinned.set_rate(net, 0.1, kinds="all")
    with pytest.raises(ValueError, match=r"placeholder '0\.drop_path1'.*thinned\.insert"):
        find_sites(net)[0].set(0.1)


def test_selecting_and_slicing():
    sites = find_sites(nn.Sequential(nn.Dropout(0.1), nn.Dropout(0.2), nn.Dropout(0.3)))
    assert sites.rates == {"0": 0.1, "1": 0.2, "2": 0.3}
    assert sites[1:].rates == {"1": 0.2, "2": 0.3}
    assert sites.select(["0", "2"], "2").rates == {"0": 0.1}
    assert repr(sites[:1]) == "SiteList('0')"
    assert sites.summary() == "3 dropout sites"
    assert find_sites(nn.Linear(1, 1)).summary() == "no sites"


def test_a_module_read_by_a_function_of_its_file_is_not_called_dead():
    assert find_sites(ReadByFunction())[0].live is None


class ReadByFunction(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn_dropout = 0.1

    def forward(self, x):
        return helper(self, x)


def helper(module, x):
    return F.dropout(x, module.attn_dropout, module.training)


class ElementwiseResidual(nn.Module):
    """As Starcoder2 and SeedOss have it: a float that is no stochastic depth, by its name only."""

    def __init__(self):
        super().__init__()
        self.residual_dropout = 0.1

    def forward(self, x):
        return x + F.dropout(x, p=self.residual_dropout, training=self.training)


def test_residual_dropout_of_elements_is_dropout():
    assert [(s.path, s.kind) for s in find_sites(ElementwiseResidual())] == [
        (":residual_dropout", "dropout")
    ]


class Counts(nn.Module):
    """Holds integers that are called something with drop: an index, a count, and one rate."""

    def __init__(self):
        super().__init__()
        self.drop_first, self.drop_every, self.pixel_dropout = 0, 1, 0
        self.config = types.SimpleNamespace(drop_last=1, hidden_dropout=0)

    def forward(self, x):
        x = x[:, self.drop_first : -self.config.drop_last : self.drop_every]
        x = F.dropout(x, self.pixel_dropout, self.training)
        return F.dropout(x, self.config.hidden_dropout, self.training)


def test_an_integer_is_a_rate_only_where_its_name_says_so():
    net = Counts()
    assert set(find_sites(net).rates) == {":pixel_dropout", ":config.hidden_dropout"}
    thinned.set_rate(net, 0.5)
    assert (net.drop_first, net.drop_every, net.config.drop_last) == (0, 1, 1)
    assert net(torch.randn(2, 4)).shape == (2, 3)
