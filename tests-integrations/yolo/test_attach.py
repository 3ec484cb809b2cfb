"""Dropout on a real training: there while it trains, nowhere afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ultralytics import YOLO

import thinned.integrations.ultralytics as thinned_yolo
from thinned import NoEffectError, ThinnedWarning
from thinned.integrations.ultralytics._attachment import EVENTS
from thinned.schedules import Linear
from thinned.surgery._edits.inserted import inserted_hooks

LOAD = """
import sys
sys.modules["thinned"] = None                      # as if it were not installed
sys.path.insert(0, sys.argv[1])
import torchvision_ops; torchvision_ops.declare()
import numpy as np
from ultralytics import YOLO
for path in sys.argv[2:]:
    YOLO(path).predict(np.zeros((64, 64, 3), np.uint8), imgsz=64, verbose=False)
print("predicted", len(sys.argv) - 2)
"""


def hooks_of(model) -> int:
    return sum(len(inserted_hooks(module)) for module in model.modules())


def weights_of(trainer):
    return sorted((trainer.save_dir / "weights").glob("*.pt"))


def assert_clean(trainer):
    """Every checkpoint holds only Ultralytics' and torch's own classes."""
    paths = weights_of(trainer)
    assert paths
    for path in paths:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        assert named, "it names Ultralytics' classes at least"
        assert not [name for name in named if "thinned" in name], path.name
    assert hooks_of(trainer.ema.ema) == 0


def test_rates_follow_the_schedule_and_the_hooks_are_called(train, shapes):
    model = YOLO("yolo26n.yaml")
    attachment = thinned_yolo.attach(model, schedule=Linear(0.0, 0.3), probe=None)
    rates, calls = [], []  # of each call of an inserted layer: did it drop something

    def note(layer, given, made):
        calls.append(not torch.equal(given[0], made))

    def count(trainer):
        for change in attachment._edit._changes:
            change.hook.layer.register_forward_hook(note)

    model.add_callback("on_train_start", count)
    model.add_callback("on_train_batch_end", lambda _: rates.append(attachment.rate))
    model.add_callback("on_val_start", lambda _: rates.append("validation"))
    trainer = train(model, shapes)
    assert [r if isinstance(r, str) else round(r, 6) for r in rates] == [
        0.0, 0.1, "validation", 0.2, 0.3, "validation", "validation"
    ]  # fmt: skip
    assert len(calls) == 18 * 4, "18 sites, 4 batches; no call in validation"
    assert not any(calls[:18]), "the first batch has rate 0"
    assert all(sum(calls[18 * k : 18 * (k + 1)]) > 0 for k in (1, 2, 3))
    assert "18 hooks inserted" in attachment.report()
    assert hooks_of(trainer.model) == 0
    assert_clean(trainer)


def test_checkpoints_load_and_predict_without_us(train, shapes):
    model = YOLO("yolo26n.yaml")
    thinned_yolo.attach(model, dropout=0.2, sites=["residual", "neck", "head"], probe=None)
    trainer = train(model, shapes, save_period=1)
    paths = weights_of(trainer)
    assert {path.name for path in paths} == {"best.pt", "last.pt", "epoch0.pt", "epoch1.pt"}
    here = str(Path(__file__).parent.parent)
    for safe in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", LOAD, here, *map(str, paths)],
            capture_output=True,
            text=True,
            env={**os.environ, "ULTRALYTICS_SAFE_LOAD": safe},
        )
        assert done.stdout.strip().endswith("predicted 4"), done.stderr


def test_recovery_from_nan_leaves_no_hook_in_the_average(train, shapes):
    model = YOLO("yolo26n.yaml")
    attachment = thinned_yolo.attach(model, schedule=Linear(0.0, 0.2), every="epoch", probe=None)
    rates, injected = [], []

    def inject(trainer):
        rates.append(round(attachment.rate, 6))
        if trainer.epoch == 1 and not injected:
            injected.append(True)
            trainer.model.add_module("nan", _Nan())
            trainer.model.nan.register_to(trainer.model)

    def mend(trainer):
        if hasattr(trainer.model, "nan"):
            trainer.loss = trainer.loss * float("nan")
            del trainer.model.nan

    class _Nan(torch.nn.Module):
        def register_to(self, host):
            """Mark the epoch whose loss will be spoilt."""

    model.add_callback("on_train_epoch_start", inject)
    model.add_callback("on_train_epoch_end", mend)
    trainer = train(model, shapes, epochs=3, save_period=1)
    assert rates == [0.0, 0.1, 0.1, 0.2], "the repeated epoch has its rate again"
    assert_clean(trainer)


def test_resume_goes_on_with_the_rates_where_they_were(train, shapes):
    whole = YOLO("yolo26n.yaml")
    thinned_yolo.attach(whole, schedule=Linear(0.0, 0.3), probe=None)
    first = train(whole, shapes, save_period=1, epochs=2)
    again = YOLO(first.save_dir / "weights" / "epoch0.pt")
    attachment = thinned_yolo.attach(again, schedule=Linear(0.0, 0.3), probe=None)
    rates = []
    again.add_callback(
        "on_train_batch_end", lambda t: rates.append((t.epoch, round(attachment.rate, 6)))
    )
    trainer = train(again, shapes, resume=True)
    assert rates == [(1, 0.2), (1, 0.3)]
    assert_clean(trainer)


def test_crash_takes_the_hooks_off(train, shapes):
    model = YOLO("yolo26n.yaml")
    attachment = thinned_yolo.attach(model, dropout=0.1, probe=None)
    seen = []

    def crash(trainer):
        seen.append((trainer.model, hooks_of(trainer.model)))
        raise RuntimeError("the user's own mistake")

    model.add_callback("on_train_batch_end", crash)
    with pytest.raises(RuntimeError, match="the user's own mistake"):
        train(model, shapes)
    trained, hooks = seen[0]
    assert hooks == 18
    assert hooks_of(trained) == 0
    assert len(attachment.sites) == 0


def test_attach_twice_is_once_and_detach_removes_all():
    model = YOLO("yolo26n.yaml")
    before = {event: list(functions) for event, functions in model.callbacks.items()}
    thinned_yolo.attach(model, dropout=0.1)
    thinned_yolo.attach(model, dropout=0.2)
    for event in EVENTS:
        assert len(model.callbacks[event]) == len(before.get(event, [])) + 1
    assert thinned_yolo.detach(model) == 1
    assert thinned_yolo.detach(model) == 0
    assert {event: list(functions) for event, functions in model.callbacks.items()} == before


def test_no_site_raises_before_the_first_step(train, shapes):
    model = YOLO("yolo26n.yaml")
    thinned_yolo.attach(model, dropout=0.1, sites="modules")
    with pytest.raises(NoEffectError, match=r"'modules' finds none.*18 residual"):
        train(model, shapes)


def test_train_dropout_that_does_nothing_is_told(train, shapes):
    model = YOLO("yolo26n.yaml")
    thinned_yolo.attach(model, dropout=0.1, probe=None)
    with pytest.warns(ThinnedWarning, match=r"dropout=0.2.* does nothing for the task 'detect'"):
        train(model, shapes, dropout=0.2, epochs=1)


def test_classifier_has_its_own_module_driven(train, labelled):
    model = YOLO("yolo26n-cls.yaml")
    attachment = thinned_yolo.attach(model, dropout=0.4, probe=None)
    seen = []

    def look(trainer):
        average = trainer.ema.ema.model[-1].drop.p
        seen.append((trainer.model.model[-1].drop.p, average, len(attachment.sites)))

    model.add_callback("on_train_batch_end", look)
    trainer = train(model, labelled, epochs=1)
    assert seen
    assert set(seen) == {(0.4, 0.0, 1)}
    assert trainer.model.model[-1].drop.p == 0.0
    assert_clean(trainer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Expected either `dropout` or `schedule`"),
        ({"dropout": 1.5}, r"Expected `dropout` to be a rate in \[0, 1\], got 1.5"),
        ({"dropout": 0.1, "variant": "spacial"}, "Did you mean 'spatial'"),
        ({"dropout": 0.1, "variant": "variational"}, "cannot stand between layers"),
        ({"dropout": 0.1, "variant": "concrete"}, "without parameters, got 'concrete'"),
        ({"dropout": 0.1, "every": "batch"}, "Expected `every` to be one of"),
        ({"dropout": 0.1, "probe": 1.5}, "Expected `probe` to be a share"),
    ],
)
def test_wrong_arguments_are_told_at_once(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        thinned_yolo.attach(YOLO("yolo26n.yaml"), **arguments)


def test_stochastic_depth_on_a_branch_is_drop_path(shapes, train):
    model = YOLO("yolo26n.yaml")
    attachment = thinned_yolo.attach(model, 0.2, variant="stochastic_depth", probe=None)
    seen = []
    model.add_callback("on_train_batch_end", lambda _: seen.extend(attachment.sites))
    train(model, shapes, epochs=1)
    assert {(site.kind, site.rate) for site in seen} == {("drop_path", 0.2)}


def test_a_module_is_no_yolo_object():
    with pytest.raises(TypeError, match="Expected `model` to be an Ultralytics YOLO"):
        thinned_yolo.attach(torch.nn.Linear(1, 1), dropout=0.1)
