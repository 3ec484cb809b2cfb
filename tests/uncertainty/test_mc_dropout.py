"""The MCDropout callback, in Lightning's own predict, test and validate, of both namespaces."""

import pytest
import torch
from torch.nn import functional
from torchmetrics import Accuracy

import thinned
from helpers import tiny
from thinned import metrics
from thinned.callbacks import MCDropout, RunRecord
from thinned.report import read_record
from thinned.uncertainty._drawing import draw

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


class Keeping(Steps):
    """Has a memory of its batches that its forward does not read, and a metric."""

    def __init__(self):
        super().__init__()
        self.outputs, self.batches, self.accuracy = [], 0, Accuracy("multiclass", num_classes=3)

    def forward(self, x):
        return self.net(x)

    def test_step(self, batch, batch_idx):
        x, y = batch
        output = self(x)
        self.outputs.append(output)
        self.batches += 1
        self.accuracy(output, y)
        self.log("accuracy", self.accuracy)


@BASES
def test_later_batches_cost_one_forward_besides_the_plain_one(namespace, monkeypatch):
    cuts = []
    forward = draw.forward
    monkeypatch.setattr(draw, "forward", lambda *given: (cuts.append(1), forward(*given))[1])
    module, sizes = made(namespace, Keeping), []
    seen = Counting(sizes)
    module.net[0].register_forward_hook(seen)
    callback = MCDropout(samples=20, stages="test")
    trainer = tiny.trainer(namespace, callbacks=[callback])
    trainer.test(module, tiny.loader(80), verbose=False)
    assert len(callback.predictions) == len(cuts) == 10
    assert sizes[-4:] == [8, 8, 8, 8]  # of the last two batches: the plain forward, the samples'
    assert len(sizes) < 40  # of the first, what was tried as well


class Counting:
    """A hook that notes the rows it sees, where no fingerprint looks for a state."""

    __slots__ = ("sizes",)

    def __init__(self, sizes):
        self.sizes = sizes

    def __call__(self, module, args, output):
        self.sizes.append(len(output))


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


class Skipping(Steps):
    """Skips some batches, as a step does that finds nothing in one."""

    skipped = (0,)

    def predict_step(self, batch, batch_idx):
        return None if batch_idx in self.skipped else super().predict_step(batch, batch_idx)

    def test_step(self, batch, batch_idx):
        return None if batch_idx in self.skipped else super().test_step(batch, batch_idx)


@pytest.mark.parametrize("stage", ["predict", "test"])
@pytest.mark.filterwarnings("ignore:predict returned None:UserWarning")
def test_a_step_may_skip_its_first_batch(stage):
    module, callback = made(tiny.NAMESPACES[0], Skipping), MCDropout(samples=4)
    run(tiny.NAMESPACES[0], stage, callback, module)
    assert len(callback.predictions) == 1
    assert stage == "predict" or callback.calibration["rows"] == 8


@pytest.mark.parametrize("stage", ["predict", "test"])
@pytest.mark.filterwarnings("ignore:predict returned None:UserWarning")
def test_skipping_all_batches_is_an_error(stage):
    module = made(tiny.NAMESPACES[0], Skipping)
    module.skipped = (0, 1)
    with pytest.raises(thinned.NoEffectError, match=r"call self\(\.\.\.\), found that it does not"):
        run(tiny.NAMESPACES[0], stage, MCDropout(samples=4), module)
    assert not module._forward_hooks


def test_a_model_without_dropout_is_an_error():
    module = made(tiny.NAMESPACES[0])
    module.net = torch.nn.Linear(8, 3)
    with pytest.raises(thinned.NoEffectError, match="found no dropout"):
        run(tiny.NAMESPACES[0], "predict", MCDropout(), module)


def test_a_stage_must_be_one_of_three():
    with pytest.raises(ValueError, match="Expected `stages` to be one of"):
        MCDropout(stages="fit")


def test_two_in_one_stage_are_refused_and_one_for_each_are_not():
    both = MCDropout(samples=3, stages=("predict", "test")), MCDropout(samples=4, stages="predict")
    trainer = tiny.trainer(callbacks=list(both))
    with pytest.raises(ValueError, match=r"one MCDropout for predict, got 2\. Give each its own"):
        trainer.predict(made(tiny.NAMESPACES[0]), tiny.loader(16))
    trainer.test(made(tiny.NAMESPACES[0]), tiny.loader(16), verbose=False)
    assert [found.count for found in both[0].predictions] == [3, 3]
    assert both[1].predictions == []


def test_over_a_pass_all_rows_have_the_same_masks():
    """Whatever the batch: so the samples of the same rows in other batches are the same."""
    module = made(tiny.NAMESPACES[0]).eval()
    found = {}
    for size in (3, 16):
        callback = MCDropout(samples=5, masks="pass", seed=3, keep_samples=True)
        data = torch.utils.data.DataLoader(tiny.dataset(16), batch_size=size)
        tiny.trainer(tiny.NAMESPACES[0], callbacks=[callback]).predict(module, data)
        found[size] = torch.cat([each.samples for each in callback.predictions], 1)
    assert found[3].shape == (5, 16, 3)
    assert torch.allclose(found[3], found[16], atol=1e-6)
    assert float(found[3].std(0).min()) > 0.0


@pytest.mark.parametrize("masks", ["row", "batch", "pass"])
def test_a_mask_is_shared_by_whom_it_should_be(masks):
    module = made(tiny.NAMESPACES[0]).eval()
    same = torch.utils.data.TensorDataset(torch.ones(6, 8) + 1e-6 * torch.arange(6.0)[:, None])
    data = torch.utils.data.DataLoader(same, batch_size=3)
    for seed in (None, 5):
        callback = MCDropout(samples=6, masks=masks, seed=seed, keep_samples=True)
        tiny.trainer(tiny.NAMESPACES[0], callbacks=[callback]).predict(module, data)
        one, two = (each.samples for each in callback.predictions)
        assert torch.allclose(one[:, 0], one[:, 1], atol=1e-3) == (masks != "row")
        if masks != "row":
            assert torch.allclose(one[:, 0], two[:, 0], atol=1e-3) == (masks == "pass")


@BASES
@pytest.mark.parametrize("stage", ["test", "validate"])
def test_plain_and_sampled_predictions_are_scored_beside_each_other(namespace, stage):
    module, callback = made(namespace), MCDropout(samples=30, seed=1)
    run(namespace, stage, callback, module)
    x, y = tiny.dataset(16).tensors
    p = torch.cat([found.probabilities for found in callback.predictions])
    with torch.no_grad():
        plain = module.eval()(x).softmax(1)
    found = callback.calibration
    assert found["rows"] == 16
    assert found["samples"] == 30
    for name, expected in (("plain", plain), ("sampled", p)):
        assert found[name]["nll"] == pytest.approx(float(metrics.nll(expected, y)), rel=1e-4)
        assert found[name]["brier"] == pytest.approx(float(metrics.brier(expected, y)), rel=1e-4)
        wrong = (expected.argmax(1) != y).float()
        doubt = torch.special.entr(expected).sum(1)
        assert found[name]["aurc"] == pytest.approx(float(metrics.aurc(doubt, wrong)), rel=1e-4)
        bins = torch.tensor(found[name]["bins"])
        assert torch.allclose(bins, metrics.reliability(expected, y), atol=1e-5)
        assert len(found[name]["curve"]) == 20
        assert found[name]["curve"][-1] == pytest.approx([1.0, float(wrong.mean())], abs=1e-5)


class Named(Steps):
    """Batches are mappings."""

    def test_step(self, batch, batch_idx):
        self(batch["x"])


@pytest.mark.parametrize(("name", "scored"), [("label", True), ("elsewhere", False)])
def test_classes_are_found_by_name(name, scored):
    x, y = tiny.dataset(16).tensors
    rows = [{"x": a, name: b} for a, b in zip(x, y, strict=True)]
    callback = MCDropout(samples=4)
    trainer = tiny.trainer(tiny.NAMESPACES[0], callbacks=[callback])
    trainer.test(
        made(tiny.NAMESPACES[0], Named), torch.utils.data.DataLoader(rows, 8), verbose=False
    )
    assert (callback.calibration is not None) == scored


def test_without_classes_nothing_is_scored():
    callback = MCDropout(samples=4, classes=False)
    run(tiny.NAMESPACES[0], "test", callback, made(tiny.NAMESPACES[0]))
    assert callback.calibration is None


def test_the_run_record_keeps_the_scores_of_the_last_test(tmp_path):
    callback = MCDropout(samples=4, stages="test")
    both = [callback, RunRecord(tmp_path / "run", summary=False)]
    trainer = tiny.fit(both, module=made(tiny.NAMESPACES[0]))
    trainer.test(trainer.lightning_module, tiny.loader(16), verbose=False)
    record = read_record(tmp_path / "run")
    assert record.status == "finished"
    assert record.skipped == 0
    assert record.calibration["stage"] == "test"
    assert record.calibration["sampled"] == callback.calibration["sampled"]
    assert "Does it know when it is wrong?" in (tmp_path / "run" / "report.html").read_text()
