"""What frameworks and users have set on a layer goes over to the layer in its place."""

import copy

import pytest
from torch import nn

import thinned
from thinned import layers


class Mine(nn.Dropout):
    """Somebody's dropout with attributes of its own, one of them set by a function in a method."""

    def __init__(self, p=0.2):
        super().__init__(p)
        self.seen = 0
        self.note = None
        self.tell = lambda: self.note

    def forward(self, x):
        self.seen += 1
        return super().forward(x)


class DropPath(nn.Module):
    """As timm's: a rate under another name than ours."""

    def __init__(self, drop_prob=0.1):
        super().__init__()
        self.drop_prob = drop_prob
        self.scale_by_keep = True

    def forward(self, x):
        if not self.training:
            return x
        return x * x.new_empty(len(x), *[1] * (x.dim() - 1)).bernoulli_(1 - self.drop_prob)


def marked(layer):
    layer.i, layer.f, layer.type = 3, -1, "framework's"
    return nn.Sequential(layer)


MARKS = {"i": 3, "f": -1, "type": "framework's"}


@pytest.mark.parametrize(
    ("layer", "to"),
    [
        (nn.Dropout(0.2), "gaussian"),
        (layers.Dropout(0.2), "gaussian"),
        (layers.SpatialDropout(0.2, channel_dim=-1), "dropout"),
        (Mine(), "dropout"),
        (DropPath(), lambda module: layers.DropPath(0.3) if type(module) is DropPath else None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_marks_go_over_and_what_the_class_holds_does_not(layer, to):
    net = marked(layer)
    held = set(vars(layer))
    policy = to if callable(to) else {type(layer): to}
    edit = thinned.swap(net, policy)
    new, plain = net[0], type(net[0])(0.2)
    assert new is not layer
    assert {n: v for n, v in vars(new).items() if n not in vars(plain)} == MARKS
    assert len(thinned.find_sites(net)) == 1
    again = copy.deepcopy(net)
    assert edit.strip(again) == 1
    edit.undo()
    for back in (net[0], again[0]):
        assert set(vars(back)) == held
        assert {name: vars(back)[name] for name in MARKS} == MARKS
    assert net[0] is layer


def test_marks_survive_swap_after_swap():
    net = marked(nn.Dropout(0.2))
    for to in ("gaussian", "dropout", "alpha"):
        thinned.swap(net, {nn.Module: to}, force=True)
    assert {name: vars(net[0])[name] for name in MARKS} == MARKS


def test_a_compiled_twin_has_the_marks():
    net = marked(DropPath())
    assert len(thinned.surgery.compile_safe(net)) == 1
    assert type(net[0]) is layers.DropPath
    assert (net[0].i, net[0].f) == (3, -1)
