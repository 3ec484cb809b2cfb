"""Several GPUs: the callbacks travel. `torch.compile`: no recompilation. Repeated epochs."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from ultralytics import YOLO
from ultralytics.utils.dist import generate_ddp_file
from ultralytics.utils.patches import torch_load

import thinned.integrations.ultralytics as thinned_yolo
from thinned import ThinnedWarning
from thinned.integrations.ultralytics import _attachment
from thinned.integrations.ultralytics._attachment import EVENTS, Attachment
from thinned.integrations.ultralytics._clock import BatchClock
from thinned.schedules import Linear
from thinned.surgery import find_sites


def prepared(shapes, tmp_path, **options):
    """A trainer with an attachment, as it is when Ultralytics starts further processes."""
    model = YOLO("yolo26n.yaml")
    thinned_yolo.attach(model, schedule=Linear(0.0, 0.2), probe=4)
    overrides = {"data": str(shapes), "epochs": 1, "imgsz": 64, "batch": 4, "workers": 0}
    overrides |= {
        "device": "cpu",
        "plots": False,
        "project": str(tmp_path),
        "model": "yolo26n.yaml",
    }
    return model._smart_load("trainer")(overrides=overrides | options, _callbacks=model.callbacks)


def test_the_attachment_travels_to_the_processes_of_a_multi_gpu_training(shapes, tmp_path):
    file = Path(generate_ddp_file(prepared(shapes, tmp_path)))
    state = torch_load(file.with_suffix(".pt"), map_location="cpu")
    owners = {id(f.__self__) for e in EVENTS for f in state["callbacks"][e] if _is_ours(f)}
    assert len(owners) == 1, "one object, and so one clock"
    # The very file that each process runs, run here as a single one.
    here = Path(__file__).parent.parent
    code = f"import sys; sys.path.insert(0, {str(here)!r}); import torchvision_ops\n"
    code += f"torchvision_ops.declare()\n{file.read_text()}"
    code += "    print('sites', sum(len(f.__self__.history) for f in trainer.callbacks['teardown']"
    code += " if hasattr(f, '__self__')))\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "18 hooks inserted" in done.stderr, done.stderr
    assert "sites 1" in done.stdout, done.stdout[-2000:] + done.stderr[-3000:]


def _is_ours(function) -> bool:
    return isinstance(getattr(function, "__self__", None), Attachment)


def test_an_ultralytics_that_drops_callbacks_is_told(shapes, tmp_path, monkeypatch):
    trainer = prepared(shapes, tmp_path)
    attachment = next(f.__self__ for f in trainer.callbacks["teardown"] if _is_ours(f))
    trainer.world_size = 2
    attachment.on_pretrain_routine_start(trainer)  # this one carries them over: nothing to say
    monkeypatch.setattr(_attachment, "carries_callbacks", lambda: False)
    with pytest.warns(ThinnedWarning, match="starts the processes of 2 GPUs without callbacks"):
        attachment.on_pretrain_routine_start(trainer)


def test_a_new_rate_each_step_costs_no_recompilation(shapes):
    from thinned.integrations.ultralytics._places import find_places
    from thinned.layers import DropPath
    from thinned.surgery import Edit
    from thinned.surgery._edits.changes import Hooked

    block = YOLO("yolo26n.yaml").model.model[8].train()  # C3k2 with four residual branches
    places = find_places(nn.ModuleDict({"block": block}), "residual")
    assert len(places) == 2
    Edit(block, "insert", [Hooked("", p.host, p.hook(DropPath(0.1)), p.kind) for p in places])
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(block, backend=count)
    x = torch.randn(4, block.cv1.conv.in_channels, 4, 4)
    for step in range(20):
        for site in find_sites(block, kinds="all"):
            site.set(step / 20)
        compiled(x)
        if step == 0:
            first = len(graphs)
    assert first >= 1
    assert len(graphs) == first


class Trainer:
    """As much of a trainer as the clock reads."""

    def __init__(self, epochs, batches, start_epoch=0):
        self.epochs, self.start_epoch, self.train_loader = epochs, start_epoch, range(batches)


def test_clock_repeats_the_rates_of_a_repeated_epoch():
    clock, trainer, seen = BatchClock(), Trainer(epochs=2, batches=3), []
    for epoch, batches in ((0, 2), (0, 3), (1, 3)):  # out of memory after two batches
        trainer.epoch = epoch
        clock.start_epoch()
        for _ in range(batches):
            clock.start_batch()
            seen.append(round(clock.progress(trainer, "step"), 6))
    assert seen == [0.0, 0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def test_clock_by_epochs_and_after_a_resume():
    clock, trainer = BatchClock(), Trainer(epochs=5, batches=3, start_epoch=2)
    assert clock.progress(trainer, "epoch") == 0.5
    trainer.epoch = 4
    clock.start_batch()
    assert clock.progress(trainer, "epoch") == 1.0
