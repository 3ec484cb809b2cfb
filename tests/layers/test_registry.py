"""The list of variants, and how a new one joins it."""

import pytest
import torch
from torch import nn

from thinned import layers


def test_the_names_that_configurations_use():
    assert set(layers.VARIANTS) == {
        *("dropout", "spatial", "alpha", "feature_alpha", "gaussian", "concrete", "dropblock"),
        *("dropconnect", "locked", "word", "variational", "weight_drop", "drop_path"),
        *("stochastic_depth", "token_drop", "layer_drop"),
    }
    assert all(layers.variant(name).name == name for name in layers.VARIANTS)


def test_a_wrong_name_gets_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'dropblock'"):
        layers.variant("drop_blok")


def test_every_row_says_what_it_is():
    assert layers.VARIANTS
    for row in layers.VARIANTS.values():
        assert row.replaces
        assert row.summary
        assert row.paper.split()[-1].isdigit()
        assert row.kind == row.layer.kind


@pytest.mark.parametrize(
    ("name", "module", "wanted"),
    [
        ("dropconnect", nn.Linear(1, 1), layers.DropConnectLinear),
        ("dropconnect", nn.Conv3d(1, 1, 1), layers.DropConnectConv3d),
        ("variational", nn.GRU(1, 1), layers.VariationalGRU),
        ("weight_drop", nn.RNN(1, 1), layers.WeightDropRNN),
        ("dropblock", nn.Dropout1d(), layers.DropBlock1d),
        ("dropout", nn.Dropout2d(), layers.Dropout),
    ],
)
def test_the_module_decides_among_the_classes_of_a_variant(name, module, wanted):
    assert layers.variant(name).layer_for(module) is wanted


def test_the_neighbours_decide_where_the_module_does_not():
    row = layers.variant("dropblock")
    assert row.layer_for(nn.Dropout(), [nn.ReLU(), nn.Conv3d(1, 1, 1)]) is layers.DropBlock3d
    assert row.takes_neighbours
    assert not layers.variant("dropout").takes_neighbours


def test_a_new_variant_is_a_class_with_a_rate():
    class Halving(layers.RateLayer):
        """Halves some elements."""

        def __init__(self, p=0.5):
            super().__init__()
            self.p = p

        def forward(self, x):
            return torch.where(self._keep(x, x.shape), x, x / 2) if self._drops() else x

    made = Halving.from_module(nn.Dropout(0.1).eval(), 0.25)
    assert (made.p, made.training) == (0.25, False)
    y = made.train()(torch.ones(10_000))
    assert (y == 0.5).float().mean().item() == pytest.approx(0.25, abs=0.03)
    graphs = []
    torch._dynamo.reset()
    forward = torch.compile(made, backend=lambda g, _: graphs.append(g) or g, fullgraph=True)
    for step in range(20):
        made.p = step / 20
        forward(torch.ones(10))
    assert len(graphs) == 1
    with pytest.raises(TypeError, match="Halving takes the place of a dropout module"):
        Halving.from_module(nn.Linear(1, 1), 0.1)
