"""Forwards that write into their input: each begins from what the user gave, who gets it back."""

import copy

import pytest
import torch
from torch import nn

from thinned.uncertainty import ensemble_predict, mc_predict


class Halving(nn.Module):
    """Halves its input; in place if it is told to."""

    def __init__(self, in_place=True):
        super().__init__()
        self.in_place = in_place
        self.one, self.drop, self.two = nn.Linear(4, 16), nn.Dropout(0.3), nn.Linear(16, 1)

    def forward(self, x):
        half = x.mul_(0.5) if self.in_place else x * 0.5
        return self.two(self.drop(self.one(half).relu()))


def both():
    torch.manual_seed(0)
    writes, other = Halving(), Halving(in_place=False)
    other.load_state_dict(writes.state_dict())
    return writes, other


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize("masks", ["row", "batch"])
@pytest.mark.parametrize("given", [lambda x: x, lambda x: (x,), lambda x: {"x": x}])
def test_samples_are_those_of_a_forward_that_leaves_its_input_alone(given, masks, inference):
    writes, other = both()
    with torch.inference_mode(inference):
        x = torch.randn(3, 4) * 10
        before = x.clone()
        found = mc_predict(writes, given(x), 8, seed=0, masks=masks, keep_samples=True)
        assert torch.equal(x, before)
        options = {"batched": False, "masks": masks, "keep_samples": True}
        expected = mc_predict(other, given(x), 8, seed=0, **options)
    assert torch.allclose(found.samples, expected.samples, atol=1e-5)


def test_networks_of_an_ensemble_all_get_what_was_given():
    (writes, other), x = both(), torch.randn(3, 4)
    before = x.clone()
    rest = copy.deepcopy(writes)
    rest.two.bias.data += 1.0
    found = ensemble_predict([writes, rest], x, keep_samples=True)
    assert torch.equal(x, before)
    with torch.no_grad():
        expected = other.eval()(x)
    assert torch.allclose(found.samples, torch.stack([expected, expected + 1.0]), atol=1e-6)


def test_an_output_that_is_the_input_keeps_its_sample():
    x = torch.ones(3, 64)
    found = mc_predict(nn.Sequential(nn.Dropout(0.5, inplace=True)), x, 6, keep_samples=True)
    assert bool((x == 1).all())
    assert found.samples.unique().tolist() == [0.0, 2.0]
    assert len(found.samples.flatten(1).unique(dim=0)) == 6


class Longer(nn.Module):
    """Gives its input another shape in place."""

    def __init__(self):
        super().__init__()
        self.drop, self.out = nn.Dropout(0.5), nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.drop(x.unsqueeze_(1))).squeeze(1)


def test_an_input_gets_its_shape_back():
    x = torch.randn(3, 4)
    assert mc_predict(Longer(), x, 4).mean.shape == (3, 2)
    assert x.shape == (3, 4)


def test_an_input_is_put_back_when_the_forward_fails():
    class Failing(Halving):
        def forward(self, x):
            super().forward(x)
            raise KeyError("its own")

    x = torch.ones(3, 4)
    with pytest.raises(KeyError, match="its own"):
        mc_predict(Failing(), x, 4)
    assert bool((x == 1).all())
