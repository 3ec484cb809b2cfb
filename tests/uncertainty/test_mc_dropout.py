"""The MCDropout callback, in Lightning's own predict, test and validate, of both namespaces."""

import pytest
import torch
from torch.nn import functional

import thinned
from helpers import tiny
from thinned.callbacks import MCDropout

BASES = pytest.mark.parametrize("namespace", tiny.NAMESPACES)


class Steps(tiny._Steps):
    """Predicts, tests and validates by its forward; keeps what it saw."""

    def predict_step(self, batch, batch_idx):
        return self(batch[0])

    def test_step(self, batch, batch_idx):
        x, y = batch
        self.log("test_loss", functional.cross_entropy(self(x), y))

    def forward(self, x):
        self.modes = {name: module.training for name, module in self.named_modules()}
        return self.net(x)


class Looping(Steps):
    """Draws its samples itself, as Lightning's documentation shows."""

    def predict_step(self, batch, batch_idx):
        return torch.stack([self(batch[0]) for _ in range(8)])


class Around(Steps):
    """Does not call its forward."""

    def predict_step(self, batch, batch_idx):
        return self.net(batch[0])


class Failing(Steps):
    """Fails in its second batch."""

    def predict_step(self, batch, batch_idx):
        if batch_idx:
            raise RuntimeError("the step's own")
        return self(batch[0])


def made(namespace, steps=Steps):
    base = type(tiny.module_of(namespace)).__mro__[2]
    return type("Module", (steps, base), {})()


def run(namespace, stage, callback, module):
    trainer = tiny.trainer(namespace, callbacks=[callback])
    return getattr(trainer, stage)(
        module, tiny.loader(16), **({} if stage == "predict" else {"verbose": False})
    )


@BASES
def test_predict_returns_the_mean_prediction(namespace):
    callback, module = MCDropout(samples=30, seed=1), made(namespace)
    outputs = run(namespace, "predict", callback, module)
    assert len(outputs) == len(callback.predictions) == 2
    for output, found in zip(outputs, callback.predictions, strict=True):
        assert found.count == 30
        assert torch.allclose(output.softmax(1), found.probabilities, atol=1e-6)
        assert bool((found.std > 0).all())


@BASES
@pytest.mark.parametrize("stage", ["test", "validate"])
def test_metrics_of_the_step_are_those_of_the_mean_prediction(namespace, stage):
    module = made(namespace)
    callback = MCDropout(samples=30, seed=1)
    (logged,) = run(namespace, stage, callback, module)
    x, y = tiny.dataset(16).tensors
    p = torch.cat([found.probabilities for found in callback.predictions])
    name = "test_loss" if stage == "test" else "val_loss"
    assert logged[name] == pytest.approx(float(functional.nll_loss(p.log(), y)), rel=1e-4)
    with torch.no_grad():
        assert logged[name] != pytest.approx(float(functional.cross_entropy(module.eval()(x), y)))


@BASES
def test_with_one_sample_the_step_loops_itself(namespace):
    module = made(namespace, Looping)
    outputs = run(namespace, "predict", MCDropout(samples=1), module)
    assert all(float(each.std(0).max()) > 0 for each in outputs)
    assert [name for name, on in module.modes.items() if on] == ["net.2", "net.5"]
    without = run(namespace, "predict", MCDropout(samples=1, stages="test"), module)
    assert all(float(each.std(0).max()) == 0 for each in without)


@BASES
@pytest.mark.parametrize("samples", [1, 4])
def test_modes_are_put_back_when_a_step_fails(namespace, samples):
    module = made(namespace, Failing)
    with pytest.raises(RuntimeError, match="the step's own"):
        run(namespace, "predict", MCDropout(samples=samples), module)
    assert not any(each.training for each in module.modules())
    assert not module._forward_hooks
    assert torch.backends.mha.get_fastpath_enabled()


@BASES
@pytest.mark.parametrize("samples", [1, 4])
def test_modes_are_put_back_after_the_stage(namespace, samples):
    module = made(namespace)
    module.net[2].eval()
    before = {name: each.training for name, each in module.named_modules()}
    run(namespace, "validate", MCDropout(samples=samples), module)
    assert {name: each.training for name, each in module.named_modules()} == before
    assert not module._forward_hooks


def test_include_leaves_the_others_off():
    module = made(tiny.NAMESPACES[0], Looping)
    run(tiny.NAMESPACES[0], "predict", MCDropout(samples=1, include="last"), module)
    assert [name for name, on in module.modes.items() if on] == ["net.5"]


def test_validation_inside_of_a_fit_stays_as_it_is():
    module = made(tiny.NAMESPACES[0])
    callback = MCDropout(samples=4)
    tiny.fit([callback], module=module)
    assert callback.predictions == []


def test_a_step_that_does_not_call_forward_is_an_error():
    with pytest.raises(thinned.NoEffectError, match=r"call self\(\.\.\.\), found that it does not"):
        run(tiny.NAMESPACES[0], "predict", MCDropout(), made(tiny.NAMESPACES[0], Around))


def test_a_model_without_dropout_is_an_error():
    module = made(tiny.NAMESPACES[0])
    module.net = torch.nn.Linear(8, 3)
    with pytest.raises(thinned.NoEffectError, match="found no dropout"):
        run(tiny.NAMESPACES[0], "predict", MCDropout(), module)


def test_a_stage_must_be_one_of_three():
    with pytest.raises(ValueError, match="Expected `stages` to be one of"):
        MCDropout(stages="fit")
