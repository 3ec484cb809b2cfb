"""Fits on two processes, as a script: Lightning starts it anew for the second one.

python ranks.py FOLDER SCENARIO...
"""

import hashlib
import json
import logging
import os
import signal
import sys
import warnings
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers import tiny
from helpers.leaving import leave
from thinned import set_verbosity
from thinned.callbacks import (
    AdaptiveDropout,
    Diagnosis,
    DropoutScheduler,
    LayerInsert,
    LayerSwap,
    OverfittingMonitor,
    RandomState,
    RunRecord,
)
from thinned.callbacks._adaptive.label_sums import ClassSums
from thinned.schedules import Linear


class Block(nn.Module):
    """A residual block of its own forward."""

    def __init__(self, width):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x):
        return x + self.inner(x)


class Masks(pl.Callback):
    """Notes, on each rank, the rates, a digest of the masks, and the layers' names."""

    def __init__(self, scheduler, monitors, path):
        self.scheduler, self.monitors, self.path = scheduler, monitors, path
        self.rates, self.masks, self.layers = [], [], set()

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.rates.append(self.scheduler.rates)
        state = torch.get_rng_state()
        self.masks.append(digest(nn.functional.dropout(torch.ones(64), 0.5)))
        torch.set_rng_state(state)
        self.layers |= {type(module).__name__ for module in pl_module.modules()}

    def teardown(self, trainer, pl_module, stage):
        """Write what was seen, in each process; listed last, so that all edits are undone."""
        found = {
            "rates": self.rates,
            "masks": self.masks,
            "layers": sorted(self.layers),
            "weights": digest(*pl_module.state_dict().values()),
            "keys": list(pl_module.state_dict()),
            "history": [row for monitor in self.monitors for row in monitor.history],
            "verdict": [repr(getattr(each, "verdict", None)) for each in self.monitors],
            "after": sorted({type(module).__name__ for module in pl_module.modules()}),
            "findings": [f.rule for c in trainer.callbacks for f in getattr(c, "findings", ())],
        }
        path = Path(f"{self.path}.{trainer.global_rank}.json")
        path.write_text(json.dumps(found))


class Dies(tiny.TinyModule):
    """Fails on one rank only."""

    def training_step(self, batch, batch_idx):
        if batch_idx == 1 and self.global_rank == 1:
            raise LookupError("the second rank dies")
        return super().training_step(batch, batch_idx)


class Killed(tiny.TinyModule):
    """Is gone without a word on one rank, when validation begins on both."""

    def on_validation_epoch_start(self):
        if not self.trainer.sanity_checking and self.global_rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)


class Learns(tiny.TinyModule):
    """Steps by Adam, whose state shows a gradient that was not synchronised."""

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


def digest(*tensors):
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(tensor.detach().contiguous().numpy().tobytes())
    return sha.hexdigest()


def fit(folder, name, callbacks, scheduler, module, strategy="ddp", **options):
    pl.seed_everything(0)  # which seeds both ranks alike
    monitors = [c for c in callbacks if isinstance(c, OverfittingMonitor | AdaptiveDropout)]
    watch = Masks(scheduler, monitors, folder / name)
    made = tiny.trainer(
        callbacks=[*callbacks, watch],
        devices=2,
        strategy=strategy,
        **{"max_epochs": 2, "enable_checkpointing": True, **options.pop("trainer", {})},
    )
    train = options.pop("train", None) or tiny.loader(64)
    made.fit(module, train, tiny.loader(32, seed=1), **options)


def everything(folder, **options):
    scheduler = DropoutScheduler(Linear(0.0, 0.4), **options)
    return scheduler, [
        RandomState(**options),
        LayerSwap({"Linear": "dropconnect"}, include="net.0", rate=0.1),
        LayerInsert("dropout", 0.1, after="ReLU"),
        scheduler,
        OverfittingMonitor("val_loss"),
        Diagnosis(),
        RunRecord(folder / "record"),
        tiny.saver(folder / "saved", filename="{epoch}"),
    ]


def scenario_whole(folder):
    scheduler, callbacks = everything(folder)
    fit(folder, "whole", callbacks, scheduler, tiny.TinyModule())


def scenario_resumed(folder):
    scheduler, callbacks = everything(folder)
    path = folder / "saved" / "epoch=0.ckpt"
    fit(folder, "resumed", callbacks, scheduler, tiny.TinyModule(), ckpt_path=path)


def scenario_alike(folder):
    scheduler, callbacks = everything(folder / "alike", decorrelate_ranks=False)
    fit(folder, "alike", callbacks, scheduler, tiny.TinyModule())


class Whole(pl.Callback):
    """Computes the temperature of the whole validation set, on each rank by itself."""

    def __init__(self, path):
        self.path, self.found = path, []

    def on_validation_end(self, trainer, pl_module):
        if not trainer.sanity_checking:
            sums = ClassSums(1)
            for x, y in tiny.loader(32, seed=1):
                sums.add(pl_module.net(x), y)
            self.found.append(sums.log_temperature(sums.state()))

    def teardown(self, trainer, pl_module, stage):
        Path(f"{self.path}.whole.{trainer.global_rank}.json").write_text(json.dumps(self.found))


def adaptive(folder, name, **options):
    from torchdata.stateful_dataloader import StatefulDataLoader

    found = AdaptiveDropout("val_loss")
    save = tiny.saver(folder / "adapted", filename="{step}", every_n_train_steps=1)
    whole = Whole(folder / name)
    callbacks = [found, RandomState(), OverfittingMonitor("val_loss"), save, whole]
    train = StatefulDataLoader(tiny.dataset(64), batch_size=8)
    trainer, module = {"val_check_interval": 2}, tiny.TinyModule()
    fit(folder, name, callbacks, found, module, trainer=trainer, train=train, **options)


def scenario_adaptive(folder):
    adaptive(folder, "adaptive")


def scenario_adapted(folder):
    """Go on from inside an epoch, with losses of each rank that no validation has used yet."""
    adaptive(folder, "adapted", ckpt_path=folder / "adapted" / "step=3.ckpt")


def scenario_blocks(folder, mode="skip"):
    from functools import partial

    from thinned.layers import StochasticDepth

    net = nn.Sequential(*(Block(8) for _ in range(3)), nn.Linear(8, 3))
    scheduler = DropoutScheduler(Linear(0.0, 0.6), kinds="all")
    insert = LayerInsert(
        partial(StochasticDepth, mode=mode), 0.3, include=["net.0", "net.1", "net.2"]
    )
    module = Learns(net)
    module.example_input_array = torch.randn(4, 8)
    fit(folder, mode, [insert, scheduler], scheduler, module)


def scenario_mask(folder):
    scenario_blocks(folder, "mask")


def scenario_dies(folder):
    scheduler, callbacks = everything(folder / "dies")
    fit(folder, "dies", callbacks, scheduler, Dies())


def scenario_killed(folder):
    scheduler, callbacks = everything(folder / "killed")
    fit(folder, "killed", callbacks, scheduler, Killed())


def scenario_spawn(folder):
    scheduler, callbacks = everything(folder / "spawn")
    fit(folder, "spawn", callbacks, scheduler, tiny.TinyModule(), strategy="ddp_spawn")


def sharded(rank, folder):
    """Edit a model, shard it by torch's own ``fully_shard`` on the CPU, and train a step."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    import thinned

    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    torch.manual_seed(0)
    net = tiny.mlp()
    keys = list(net.state_dict())
    thinned.swap(net, {"Linear": "dropconnect"}, include="0", rate=0.2)
    thinned.insert(net, "dropout", 0.1, after="ReLU")
    mesh = init_device_mesh("cpu", (2,))
    for layer in (net[0], net[3], net):
        fully_shard(layer, mesh=mesh)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for step in range(3):
        thinned.set_rate(net, 0.1 * step, kinds="all")
        optimizer.zero_grad()
        torch.manual_seed(10 * rank + step)
        net(torch.randn(8, 8)).sum().backward()
        optimizer.step()
    refused = False
    try:
        thinned.swap(net, {"Linear": "dropconnect"}, rate=0.2)
    except RuntimeError as error:
        refused = "not wrapped yet" in str(error)
    found = {
        "refused": refused,
        "keys": list(net.state_dict()) == keys,
        "rates": sorted({site.rate for site in thinned.find_sites(net)}),
        "finite": all(bool(p.full_tensor().isfinite().all()) for p in net.parameters()),
    }
    (Path(folder) / f"sharded.{rank}.json").write_text(json.dumps(found))
    leave()


def main():
    torch.set_num_threads(1)
    set_verbosity("quiet")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    for name in sys.argv[2:]:
        globals()[f"scenario_{name}"](folder)


if __name__ == "__main__":
    main()
