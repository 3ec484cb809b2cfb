"""One factor over all rates, as a callback: ratios stay, factors do not add up."""

import pickle

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from helpers import tiny
from thinned import NoEffectError
from thinned.callbacks import DropoutScheduler, ScaleRates
from thinned.schedules import Linear


def net():
    return nn.Sequential(
        nn.Linear(8, 16), nn.Dropout(0.1), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 3)
    )


class Look(pl.Callback):
    def __init__(self):
        self.rates = []
        self.logged = []

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        self.rates.append((pl_module.net[1].p, pl_module.net[3].p))

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.logged.append(trainer.callback_metrics["dropout/scaled/rate"].item())


def fit(*callbacks, module=None, **options):
    module = tiny.TinyModule(net()) if module is None else module
    return tiny.fit(list(callbacks), module=module, **{"max_steps": 5, **options}), module


def test_ratios_stay_and_the_largest_is_logged():
    scale, look = ScaleRates(2.0), Look()
    _, module = fit(scale, look)
    assert (module.net[1].p, module.net[3].p) == (0.2, 0.8)
    assert scale.rates == {"scaled": 0.8}
    assert look.logged == pytest.approx([0.8] * 5)
    assert scale.groups["scaled"].rates == {"net.1": 0.2, "net.3": 0.8}


def test_a_schedule_is_a_factor():
    look = Look()
    fit(ScaleRates(Linear(0.0, 1.0)), look)
    assert len(look.rates) == 5
    expected = [(0.1 * k / 4, 0.4 * k / 4) for k in range(5)]
    for rates, hoped in zip(look.rates, expected, strict=True):
        assert rates == pytest.approx(hoped)


def test_a_name_goes_to_the_rates_that_the_model_has():
    _, module = fit(ScaleRates("linear"))
    assert (module.net[1].p, module.net[3].p) == (0.1, 0.4)


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(tiny.dataset())


@pytest.mark.parametrize("factor", ["linear", lambda progress: progress])
def test_a_factor_that_moves_needs_a_length(factor):
    loader = torch.utils.data.DataLoader(Endless(), 8)
    with pytest.raises(ValueError, match=r"the length.*Give ScaleRates\(\.\.\., total_steps=N\)"):
        fit(ScaleRates(factor), train=loader, max_steps=-1, max_epochs=1)
    _, module = fit(ScaleRates(factor, total_steps=4), train=loader, max_steps=-1, max_epochs=1)
    assert module.net[3].p == 0.4
    _, module = fit(ScaleRates(2), train=loader, max_steps=-1, max_epochs=1)
    assert module.net[3].p == 0.8


def test_a_function_may_go_above_1():
    _, module = fit(ScaleRates(lambda progress: 1.0 + progress))
    assert (module.net[1].p, module.net[3].p) == (0.2, 0.8)


def test_a_second_fit_starts_from_the_same_rates():
    scale = ScaleRates(0.5)
    _, module = fit(scale)
    fit(scale, module=module)
    assert (module.net[1].p, module.net[3].p) == (0.05, 0.2)


def test_back_from_zero():
    scale = ScaleRates(lambda progress: 1.0 - progress)
    _, module = fit(scale)
    assert module.net[3].p == 0.0
    look = Look()
    fit(scale, look, module=module)
    assert look.rates[0] == (0.1, 0.4)


def test_wrong_factors():
    with pytest.raises(ValueError, match="`factor` to be a factor"):
        ScaleRates(-1)
    with pytest.raises(TypeError, match="`factor` to be a factor"):
        ScaleRates(None)
    with pytest.raises(ValueError, match="`total_steps` to be a length"):
        ScaleRates(1.0, total_steps=-3)
    with pytest.raises(ValueError, match=r"\[0, 2.5\], got 3"):
        fit(ScaleRates(3))


def test_nothing_to_scale():
    with pytest.raises(NoEffectError, match="only rates of 0"):
        fit(ScaleRates(2.0), module=tiny.TinyModule(tiny.mlp(0.0)))


@pytest.mark.parametrize("order", [1, -1])
def test_a_site_is_scaled_or_scheduled(order):
    both = [DropoutScheduler(0.3), ScaleRates(2.0)][::order]
    with pytest.raises(ValueError, match=r"one callback, got 'net\.1' in the groups .*ScaleRates"):
        fit(*both)


def test_it_travels():
    assert isinstance(pickle.loads(pickle.dumps(ScaleRates(0.5))), ScaleRates)


def test_a_callback_of_its_own_for_each_fit_starts_from_the_same_rates_unless_they_were_changed():
    module = tiny.TinyModule(net())
    for _ in range(3):
        tiny.fit([ScaleRates(0.5)], module=module)
        assert module.net[3].p == 0.2
    tiny.fit([ScaleRates(Linear(1.0, 0.0))], module=module)
    assert module.net[3].p == 0.0
    tiny.fit([ScaleRates(0.25)], module=module)
    assert module.net[3].p == 0.1
    module.net[3].p = 0.8
    tiny.fit([ScaleRates(0.5)], module=module)
    assert module.net[3].p == 0.4
