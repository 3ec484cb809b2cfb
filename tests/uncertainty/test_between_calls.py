"""What a first call has found out is not believed when anything has changed since."""

import gc
import weakref

import pytest
import torch
from torch import nn

import thinned
from helpers import changing
from helpers.sampling import loop
from thinned.uncertainty import mc_predict
from thinned.uncertainty._cutting.fingerprint import fingerprint
from thinned.uncertainty._drawing import copies, draw

X = torch.randn(5, 6, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def cuts(monkeypatch):
    """List the cuts of the forwards that give several samples."""
    seen = []
    forward = draw.forward

    def noting(cut, model, x, rows, copies, start):
        output = forward(cut, model, x, rows, copies, start)
        seen.append((cut, copies))
        return output

    monkeypatch.setattr(draw, "forward", noting)
    return seen


def samples(model, x=X, count=8, **options):
    return mc_predict(model, x, count, keep_samples=True, **options).samples


def warmed(model, cuts, x=X):
    """Call until later calls are cut, and say that they are."""
    model.eval()
    for _ in range(2):
        samples(model, x)
    assert [copies for _, copies in cuts] == [8, 8]
    cuts.clear()
    return model


def attribute(model):
    model.flag = True


def class_attribute(model):
    type(model).switch = True


def method(model):
    type(model).mixing = lambda _: True


def config(model):
    model.config.inner.mixing = True


def container(model):
    model.options["mixing"][0] = True


def private(model):
    model._private = True


def swapped(model):
    model.two = changing.Centred(16, 3)


def swapped_twice(model):
    """The last module may stand where the first has stood in memory."""
    model.two = None
    gc.collect()
    model.two = changing.Centred(16, 3)


def other_class(model):
    model.two.__class__ = changing.Centred


def hooked(model):
    model.two.register_forward_hook(changing.centre)


def hooked_everywhere(model):
    def only_here(module, args, output):
        return changing.centre(module, args, output) if module is model.two else None

    return nn.modules.module.register_module_forward_hook(only_here)


def rebound(model):
    linear = model.two
    linear.forward = lambda x: changing.centre(None, None, nn.Linear.forward(linear, x))


CHANGES = {
    "an attribute": (changing.ByAttribute, attribute),
    "an attribute, by name": (changing.ByName, attribute),
    "an attribute of a class": (changing.ByClass, class_attribute),
    "a method": (changing.Base, method),
    "a config in a config": (changing.ByConfig, config),
    "an entry of an entry": (changing.ByContainer, container),
    "an attribute behind a property": (changing.ByProperty, private),
    "a swapped module": (changing.Base, swapped),
    "a module at an old address": (changing.Base, swapped_twice),
    "a module of another class": (changing.Base, other_class),
    "a hook": (changing.Base, hooked),
    "a rebound forward": (changing.Base, rebound),
}


def assert_centred(model, cuts):
    """The rows of every sample sum to 0, as in the loop; of copies in one batch they would not."""
    found = samples(model)
    assert cuts == []
    assert float(found.sum(1).abs().max()) < 1e-4
    assert float(found.std(0).min()) > 1e-3


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_model_is_seen(name, cuts):
    make, change = CHANGES[name]
    kept = type("Kept", (make,), {})  # a class of its own: one of the changes is to the class
    model = warmed(kept(), cuts)
    assert float(samples(model).sum(1).abs().max()) > 0.1
    cuts.clear()
    change(model)
    assert_centred(model, cuts)


def test_a_hook_on_all_modules_is_seen(cuts):
    model = warmed(changing.Base(), cuts)
    handle = hooked_everywhere(model)
    try:
        assert_centred(model, cuts)
    finally:
        handle.remove()


def test_a_hook_that_changes_is_seen(cuts):
    model, hook = changing.Base(), changing.Hook()
    model.two.register_forward_hook(hook)
    warmed(model, cuts)
    hook.on = True
    assert_centred(model, cuts)


def test_a_variable_of_a_hook_is_seen(cuts):
    model, on = changing.Base(), [False]
    model.two.register_forward_hook(
        lambda module, args, output: changing.centre(module, args, output) if on[0] else None
    )
    warmed(model, cuts)
    on[0] = True
    assert_centred(model, cuts)


def test_a_global_is_seen(cuts, monkeypatch):
    model = warmed(changing.ByGlobal(), cuts)
    monkeypatch.setattr(changing, "MIXING", True)
    assert_centred(model, cuts)


def test_an_entry_of_a_global_is_seen(cuts, monkeypatch):
    model = warmed(changing.ByGlobalContainer(), cuts)
    monkeypatch.setitem(changing.GLOBAL, "mixing", True)
    assert_centred(model, cuts)


def test_a_closed_over_variable_is_seen(cuts):
    model, set_it = changing.by_closure()
    warmed(model, cuts)
    set_it()
    assert_centred(model, cuts)


def test_a_forward_that_begins_to_draw_earlier_is_noticed_as_it_runs(cuts, monkeypatch):
    """The random call comes from where nobody looks; each sample must have its own all the same."""
    model = nn.Sequential(nn.Linear(6, 16), nn.Identity(), nn.Dropout(0.5), nn.Linear(16, 3))
    warmed(model, cuts)
    monkeypatch.setattr(nn.Identity, "forward", lambda _, x: x * changing.noise(len(x)))
    found = samples(model, count=200)
    assert_spread_of_loop(found, loop(model, X, 200))


def assert_spread_of_loop(found, others):
    ratio = found.std(0) / others.std(0)
    assert float(ratio.min()) > 0.7
    assert float(ratio.max()) < 1.4
    error = (found.var(0) / len(found) + others.var(0) / len(others)).sqrt()
    assert float(((found.mean(0) - others.mean(0)).abs() / error).max()) < 4.5


def test_a_rate_that_was_set_is_seen(cuts):
    model = nn.Sequential(nn.Linear(6, 400), nn.Dropout(0.2), nn.Identity())
    warmed(model, cuts)
    for rate in (0.7, 0.2, 0.5):
        thinned.set_rate(model, rate)
        assert float((samples(model) == 0).float().mean()) == pytest.approx(rate, abs=0.02)
    assert cuts != []


def test_a_site_that_is_switched_on_is_seen(cuts):
    model = nn.Sequential(nn.Linear(6, 400), nn.Dropout(0.0), nn.Dropout(0.2))
    warmed(model, cuts)
    model[1].p = 0.5
    assert float((samples(model) == 0).float().mean()) == pytest.approx(0.6, abs=0.02)


def test_another_choice_of_sites_is_another_matter(cuts):
    model = nn.Sequential(nn.Linear(6, 400), nn.Dropout(0.5), nn.Dropout(0.2))
    warmed(model, cuts)
    for include, dropped in (("1", 0.5), ("2", 0.2), ("*", 0.6)):
        found = samples(model, include=include)
        assert float((found == 0).float().mean()) == pytest.approx(dropped, abs=0.02)


def test_new_weights_are_used_and_need_no_new_trial(cuts):
    model = warmed(changing.Base(), cuts)
    with torch.no_grad():
        model.two.bias.add_(100.0)
    assert float(samples(model).mean()) > 90.0
    assert len(cuts) == 1


@pytest.mark.parametrize("rows", [1, 2, 9])
def test_another_number_of_rows(cuts, rows):
    model = warmed(changing.Base(), cuts)
    x = torch.randn(rows, 6)
    found = samples(model, x, 200)
    assert found.shape == (200, rows, 3)
    assert_spread_of_loop(found, loop(model, x, 200))


def test_another_precision_of_model_and_input(cuts):
    model = warmed(changing.Base(), cuts).double()
    assert samples(model, X.double()).dtype is torch.float64


def test_autocast_and_inference_mode(cuts):
    model = warmed(changing.Base(), cuts)
    with torch.autocast("cpu", torch.bfloat16):
        assert samples(model).dtype is torch.bfloat16
    with torch.inference_mode():
        assert samples(model).is_inference()
    with torch.enable_grad():
        assert not samples(model).requires_grad
    assert not samples(model).is_inference()


class Scaled(nn.Module):
    """Called with a number beside its rows."""

    def __init__(self):
        super().__init__()
        self.one, self.drop, self.two = nn.Linear(6, 16), nn.Dropout(0.5), nn.Linear(16, 3)
        self.scale = 1.0

    def forward(self, x, mixing=False):
        out = self.two(self.drop(self.one(x))) * self.scale
        return out - out.mean(0, keepdim=True) if mixing else out


def test_another_argument_beside_the_rows(cuts):
    model = warmed(Scaled(), cuts, (X, False))
    assert float(samples(model, (X, True)).sum(1).abs().max()) < 1e-4
    assert float(samples(model, {"x": X, "mixing": True}).sum(1).abs().max()) < 1e-4
    assert cuts == []


def test_what_no_forward_reads_may_change(cuts):
    model = warmed(changing.ByAttribute(), cuts)
    for value in range(20):
        model.unread.append(value)
        model.counter = value
        model.train(mode=value % 2 == 0)
        samples(model)
    assert len(cuts) == 20


def test_a_model_that_is_another_at_every_call_is_not_tried_for_ever(cuts, monkeypatch):
    trials = []
    tried = copies._tried
    monkeypatch.setattr(copies, "_tried", lambda *given: (trials.append(1), tried(*given))[1])
    model = Scaled().eval()
    for value in range(30):
        model.scale = 1.0 + value
        assert samples(model).shape == (8, 5, 3)
    assert len(trials) == copies.MANY


def test_nothing_that_is_kept_keeps_a_model_alive():
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    thinned.insert(model, "dropout", 0.2)
    for masks in ("row", "batch"):
        for _ in range(3):
            mc_predict(model, X, 8, masks=masks)
    parts = [weakref.ref(each) for each in (model, *model)]
    del model
    gc.collect()
    assert [part() for part in parts] == [None] * 4


def test_a_fingerprint_is_the_same_object_while_nothing_changes():
    model = changing.ByConfig()
    first = fingerprint(model)
    assert first is not None
    assert fingerprint(model) is first
    model.config.inner.mixing = True
    assert fingerprint(model) != first
    model.config.inner.mixing = False
    assert fingerprint(model) == first
