"""Every callback together, under each way of training that Lightning offers."""

import copy
import json
import math
import os
import signal
import warnings
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from helpers import tiny
from thinned import ThinnedWarning
from thinned.callbacks import (
    AdaptiveDropout,
    Diagnosis,
    DropoutScheduler,
    LayerInsert,
    LayerSwap,
    OverfittingMonitor,
    ProgressMetrics,
    RandomState,
    RunRecord,
    ScaleRates,
)
from thinned.schedules import Linear


def everything():
    return [
        RandomState(),
        LayerSwap({"Linear": "dropconnect"}, include="net.0", rate=0.1),
        LayerInsert("dropout", 0.1, after="ReLU"),
        DropoutScheduler(Linear(0.0, 0.4), include="net.0", kinds="all"),
        DropoutScheduler(Linear(0.0, 0.5), exclude=["net.0", "net.2", "net.5"]),
        ScaleRates(0.5, "net.2"),
        AdaptiveDropout("val_loss", "net.5", highest=0.5),
        OverfittingMonitor("val_loss"),
        Diagnosis(),
        ProgressMetrics(),
        RunRecord("record", page=False),
    ]


class Seen(pl.Callback):
    """Notes both schedulers' rates in each batch."""

    def __init__(self):
        self.rates = []

    def on_train_batch_end(self, trainer, *_):
        schedulers = [c for c in trainer.callbacks if isinstance(c, DropoutScheduler)]
        self.rates.append([rate for s in schedulers for rate in s.rates.values()])


class Manual(tiny.TinyModule):
    automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss = super().training_step(batch, batch_idx)
        self.manual_backward(loss)
        optimizer.step()
        return loss.detach()  # for AdaptiveDropout


class Two(Manual):
    """A pair of optimizers, each with a part of the model."""

    def training_step(self, batch, batch_idx):
        loss = tiny.TinyModule.training_step(self, batch, batch_idx)
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()
        return loss.detach()

    def configure_optimizers(self):
        parts = self.net[0].parameters(), self.net[3:].parameters()
        return [torch.optim.SGD(part, lr=0.1) for part in parts]


class Checkpointed(tiny.TinyModule):
    """Computes its activations anew in the backward pass."""

    def forward(self, x):
        return checkpoint(self.net, x, use_reentrant=False) if self.training else self.net(x)


class Reentrant(tiny.TinyModule):
    """The same in torch's older way, which runs the forward once without a graph."""

    def forward(self, x):
        if not self.training:
            return self.net(x)
        return checkpoint(self.net, x.requires_grad_(), use_reentrant=True)


class Unlogged(tiny.TinyModule):
    """Logs outside of its graph: torch 2.13 cannot compile Lightning's `log`, also without us."""

    @torch.compiler.disable
    def log(self, *args, **options):
        super().log(*args, **options)


WAYS = {
    "plain": {},
    "accumulation": {"accumulate_grad_batches": 3},
    "clipping": {"gradient_clip_val": 0.1},
    "manual": {"module": Manual},
    "two optimizers": {"module": Two},
    "averaging": {"extra": lambda: pl.callbacks.EMAWeightAveraging(decay=0.9)},
    "bf16": {"precision": "bf16-mixed"},
    "checkpointing": {"module": Checkpointed},
    "reentrant checkpointing": {"module": Reentrant},
    "all compiled": {"module": Unlogged, "compile": "eager"},
    "float64": {"precision": "64-true"},
    "validation inside": {"val_check_interval": 2},
    "detect_anomaly": {"detect_anomaly": True},
    "early stopping": {"extra": lambda: pl.callbacks.EarlyStopping("overfit/gap/val_loss")},
}


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "in reverse"])
@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_every_callback(options, reverse):
    options = dict(options)
    module = options.pop("module", tiny.TinyModule)()
    before, keys = [id(m) for m in module.modules()], list(module.state_dict())
    start = tiny.weights(module)
    callbacks = everything()
    if "extra" in options:
        callbacks.append(options.pop("extra")())
    seen = Seen()
    callbacks = [*(callbacks[::-1] if reverse else callbacks), seen]
    torch._dynamo.reset()
    backend = options.pop("compile", None)
    given = torch.compile(module, backend=backend) if backend else module
    trainer = tiny.fit(callbacks, module=given, max_epochs=2, **options)
    count = len(seen.rates)
    assert count == 8
    expected = [sorted([0.4 * k / 7, 0.5 * k / 7]) for k in range(8)]
    assert [sorted(rates) for rates in seen.rates] == [pytest.approx(e, abs=1e-6) for e in expected]
    assert sorted(seen.rates[-1]) == [0.4, 0.5]
    (scaled,) = [c for c in callbacks if isinstance(c, ScaleRates)]
    assert scaled.rates == {"scaled": 0.25}
    (adaptive,) = [c for c in callbacks if isinstance(c, AdaptiveDropout)]
    validations = 4 if "val_check_interval" in options else 2
    assert len(adaptive.history) == validations
    assert adaptive.rates == {"net.5": adaptive.history[-1]["rate"]}
    assert [id(m) for m in module.modules()] == before
    assert list(module.state_dict()) == keys
    assert not tiny.same_weights(start, tiny.weights(module))
    assert all(value.isfinite().all() for value in module.state_dict().values())
    assert trainer.state.status == "finished"
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in module.modules())


def test_averaged_weights_are_those_of_the_plain_model(tmp_path):
    averaging = pl.callbacks.EMAWeightAveraging(decay=0.9)
    saver = tiny.saver(tmp_path, filename="end")
    tiny.fit([*everything(), averaging, saver], max_epochs=2)
    saved = torch.load(tmp_path / "end.ckpt", weights_only=True)
    plain = tiny.TinyModule()
    assert saved["state_dict"].keys() == plain.state_dict().keys()
    plain.load_state_dict(saved["state_dict"])


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_plain_lightning_script_loads_and_validates_our_checkpoint(tmp_path):
    module = tiny.TinyModule()
    tiny.fit([*everything(), tiny.saver(tmp_path, filename="end")], module=module, max_epochs=2)
    ours = tiny.trainer().validate(module, tiny.loader(16, seed=1), verbose=False)
    plain = tiny.TinyModule()
    trainer = tiny.trainer()
    theirs = trainer.validate(
        plain, tiny.loader(16, seed=1), ckpt_path=tmp_path / "end.ckpt", verbose=False
    )
    assert ours == theirs


# Bad numbers.


class Nan(tiny.TinyModule):
    """Has a loss that is not finite, from a batch on, in a stage."""

    def __init__(self, stage, value):
        super().__init__()
        self.stage, self.value = stage, value

    def spoil(self, stage, loss):
        return loss * self.value if stage == self.stage else loss

    def training_step(self, batch, batch_idx):
        return self.spoil("train", super().training_step(batch, batch_idx))

    def validation_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("val_loss", self.spoil("val", loss))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("stage", ["train", "val"])
def test_losses_that_are_not_finite_end_no_run(stage, value):
    seen = Seen()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ThinnedWarning)  # a NaN may be told; it must not raise
        trainer = tiny.fit([*everything(), seen], module=Nan(stage, value), max_epochs=2)
    assert trainer.state.status == "finished"
    assert sorted(seen.rates[-1]) == [0.4, 0.5]


def test_batches_of_one_sample():
    seen = Seen()
    tiny.fit([*everything(), seen], train=tiny.loader(5, batch_size=1), max_epochs=2)
    assert len(seen.rates) == 10
    assert sorted(seen.rates[-1]) == [0.4, 0.5]


def test_an_empty_loader_trains_nothing_and_leaves_the_model_alone():
    module = tiny.TinyModule()
    before = [id(m) for m in module.modules()]
    empty = torch.utils.data.DataLoader([], batch_size=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's, about a loader of no length
        tiny.trainer(callbacks=everything()).fit(module, empty, tiny.loader(16))
    assert [id(m) for m in module.modules()] == before


@pytest.mark.filterwarnings("ignore:Found .* module.* in eval mode at the start of training")
def test_frozen_parts_and_parts_in_eval_stay_so():
    module = tiny.TinyModule()
    module.net[2].eval()
    for parameter in module.net[3].parameters():
        parameter.requires_grad_(False)
    frozen = copy.deepcopy(module.net[3].state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ThinnedWarning)
        tiny.fit(everything(), module=module, max_epochs=2)
    assert not module.net[2].training
    assert module.net[5].training
    assert all(torch.equal(frozen[key], value) for key, value in module.net[3].state_dict().items())


# Neutral: callbacks that only measure change nothing.


@pytest.mark.parametrize(
    "options",
    [{}, {"val_check_interval": 2}, {"accumulate_grad_batches": 2}, {"num_workers": 2}],
    ids=str,
)
def test_measuring_alone_is_neutral(options):
    options = dict(options)
    workers = options.pop("num_workers", 0)

    def fit(callbacks):
        torch.manual_seed(0)
        module = tiny.TinyModule(tiny.mlp().insert(1, nn.BatchNorm1d(16)))
        train = tiny.loader(shuffle=True, num_workers=workers)
        tiny.fit(callbacks, module=module, train=train, max_epochs=2, **options)
        return tiny.weights(module)

    measured = fit([RandomState(), OverfittingMonitor("val_loss"), RunRecord("rec", page=False)])
    assert tiny.same_weights(fit([]), measured)


# Faults from outside, and the user's own.


class Broken(tiny.TinyModule):
    """Raises in a hook of its own."""

    def __init__(self, hook, error):
        super().__init__()

        def fail(*args, **kwargs):
            raise error

        setattr(self, hook, fail)


@pytest.mark.parametrize(
    "hook", ["training_step", "validation_step", "on_train_start", "on_train_epoch_end", "backward"]
)
def test_errors_of_the_user_come_through_and_the_model_is_put_back(hook):
    module = Broken(hook, LookupError("my own"))
    before = [id(m) for m in module.modules()]
    with pytest.raises(LookupError, match="my own"):
        tiny.fit(everything(), module=module)
    assert [id(m) for m in module.modules()] == before
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in module.modules())
    if hook != "validation_step":  # there Lightning itself leaves the model in evaluation mode
        assert all(m.training for m in module.modules())


def test_a_record_that_cannot_be_written_costs_nothing(tmp_path):
    (tmp_path / "record").write_text("a file where a folder should be")
    seen = Seen()
    with pytest.warns(ThinnedWarning, match="record"):
        tiny.fit([*everything(), seen], max_epochs=2)
    assert sorted(seen.rates[-1]) == [0.4, 0.5]


class Terminated(tiny.TinyModule):
    """Gets the signal by which clusters end a job."""

    def training_step(self, batch, batch_idx):
        if batch_idx == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().training_step(batch, batch_idx)


def test_sigterm_closes_the_record_and_puts_the_model_back():
    module = Terminated()
    before = [id(m) for m in module.modules()]
    with pytest.raises(SystemExit, match=r"^$"):
        tiny.fit(everything(), module=module)
    assert [id(m) for m in module.modules()] == before
    lines = Path("record/record.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["status"] == "interrupted"
