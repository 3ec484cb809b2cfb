"""Generators that a model keeps itself are where they were, whatever ran it to look."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import thinned

GENERATORS = {
    "torch": (torch.Generator, lambda g: torch.rand((), generator=g).item()),
    "python": (lambda: random.Random(0), lambda g: g.random()),
    "numpy": (lambda: np.random.default_rng(0), lambda g: g.random()),
    "numpy, old": (lambda: np.random.RandomState(0), lambda g: g.random()),
    "numpy, bits": (
        lambda: np.random.MT19937(0),
        lambda bits: np.random.Generator(bits).random(),
    ),
}


class Keeper(nn.Module):
    """Draws at each forward from generators of its own, one of them in a list in a dictionary."""

    def __init__(self, make, draw):
        super().__init__()
        self.own, self.more, self.draw = make(), {"held": [make()]}, draw
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4, 2))

    def forward(self, x):
        for generator in (self.own, *self.more["held"]):
            self.draw(generator)
        return self.layers(x)


LOOKS = {
    "find_sites": lambda net, x: thinned.find_sites(net, example_input=x),
    "insert": lambda net, x: thinned.insert(net, "dropout", example_input=x).undo(),
    "after": lambda net, x: thinned.insert(net, "dropout", after="ReLU", example_input=x).undo(),
    "diagnose": thinned.diagnose,
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize(("make", "draw"), GENERATORS.values(), ids=GENERATORS)
def test_a_look_leaves_a_models_own_generators(look, make, draw):
    net, other = Keeper(make, draw), Keeper(make, draw)
    look(net, torch.randn(3, 4))
    for generator, expected in ((net.own, other.own), (net.more["held"][0], other.more["held"][0])):
        assert [draw(generator) for _ in range(3)] == [draw(expected) for _ in range(3)]


class Augment:
    """A plain object that draws, and notes what it did; it knows who has it."""

    def __init__(self, make, owner):
        self.generator, self.calls, self.last, self.owner = make(), [], None, owner

    def __call__(self, draw):
        self.last = draw(self.generator)
        self.calls.append(self.last)


class Helped(Keeper):
    """Draws by a helper, which a helper holds."""

    def __init__(self, make, draw):
        super().__init__(make, draw)
        self.helper = Augment(make, self)
        self.helper.inner = Augment(make, self.helper)

    def forward(self, x):
        for helper in (self.helper, self.helper.inner):
            helper(self.draw)
        return super().forward(x)


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize(("make", "draw"), GENERATORS.values(), ids=GENERATORS)
def test_a_look_leaves_what_a_models_helpers_hold(look, make, draw):
    net, expected = Helped(make, draw), make()
    look(net, torch.randn(3, 4))
    first = draw(expected)
    for helper in (net.helper, net.helper.inner):
        assert (helper.calls, helper.last) == ([], None)
        assert draw(helper.generator) == first


def test_a_long_chain_of_helpers_is_looked_at_and_ends():
    net = Helped(*GENERATORS["python"])
    last = net.helper
    for _ in range(5000):
        last.next = Augment(GENERATORS["python"][0], net)
        last = last.next
    assert thinned.find_sites(net, example_input=torch.randn(3, 4))[0].live


def test_what_asks_the_machine_has_no_state():
    net = Keeper(random.SystemRandom, lambda g: g.random())
    assert thinned.find_sites(net, example_input=torch.randn(3, 4))[0].live


@pytest.mark.parametrize("masks", ["row", "batch"])
def test_predictions_draw_as_many_numbers_as_there_are_forwards(masks):
    make, draw = GENERATORS["python"]
    net, x, calls = Keeper(make, draw), torch.randn(3, 4), []
    net.layers[3].register_forward_hook(lambda *_: calls.append(1))
    thinned.mc_predict(net, x, 4, seed=0, masks=masks, batched=masks == "row")
    assert calls
    expected = make()
    drawn = [draw(expected) for _ in range(20)]
    assert draw(net.own) in drawn[1:6]
