"""What OverfittingMonitor costs: the whole run with it against the whole run without.

bash scripts/bench monitor              3 rounds of each, alternating
bash scripts/bench monitor --rounds 5

A small CNN on 6000 images of 32x32, one thread, a probe of a tenth. Wall time is of the whole run
against the run without, in alternation, and says little on a busy machine; the last column is the
share of the run's own processor time that goes into the monitor's hooks.
"""

import argparse
import logging
import statistics
import time
import warnings

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from thinned import set_verbosity
from thinned.callbacks import OverfittingMonitor

VARIANTS = {
    "without": None,
    "probe=0.1, noise=False": {"noise": False},
    "probe=0.1": {},
    "probe=0.1, units='*'": {"units": "*"},
}
HOOKS = (
    *("setup", "on_train_start", "on_train_batch_start", "on_validation_start"),
    *("on_validation_batch_end", "on_validation_end", "on_fit_end"),
)


class Timed(OverfittingMonitor):
    """Adds up the processor time of its own hooks."""

    spent = 0.0


def timed(name):
    def hook(self, *args, **kwargs):
        start = time.process_time()
        getattr(OverfittingMonitor, name)(self, *args, **kwargs)
        self.spent += time.process_time() - start

    return hook


for name in HOOKS:
    setattr(Timed, name, timed(name))


class Images(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Dropout(0.3), nn.Linear(32 * 64, 64), nn.ReLU(), nn.Dropout(0.5)),
            nn.Linear(64, 10),
        )

    def loss(self, batch):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def training_step(self, batch, _):
        return self.loss(batch)

    def validation_step(self, batch, _):
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


def images(size, seed):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 3, 32, 32, generator=draw)
    return TensorDataset(x, torch.randint(10, (size,), generator=draw))


def run(callbacks, train, val, epochs):
    torch.manual_seed(0)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        max_epochs=epochs,
        callbacks=callbacks,
    )
    model = Images()
    wall, own = time.perf_counter(), time.process_time()
    trainer.fit(model, DataLoader(train, 64, shuffle=True), DataLoader(val, 64))
    wall, own = time.perf_counter() - wall, time.process_time() - own
    spent = sum(c.spent for c in callbacks)
    return wall, spent / (own - spent)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    set_verbosity("quiet")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    train, val = images(6000, 0), images(1000, 1)
    run([Timed("val_loss", units="*")], train, val, 1)  # warm up: imports, first allocations
    times = {name: [] for name in VARIANTS}
    for _ in range(given.rounds):
        for name, options in VARIANTS.items():
            callbacks = [] if options is None else [Timed("val_loss", **options)]
            times[name].append(run(callbacks, train, val, given.epochs))
    print(f"| {'':<22} | wall | more than without | hooks, of processor time |\n|---|---|---|---|")
    for name, each in times.items():
        ratio = statistics.median(a[0] / b[0] for a, b in zip(each, times["without"], strict=True))
        wall, share = (statistics.median(t[kind] for t in each) for kind in (0, 1))
        print(f"| {name:<22} | {wall:.2f} s | {ratio - 1:+.1%} | {share:.1%} |")


if __name__ == "__main__":
    main()
