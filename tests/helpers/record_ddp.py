"""Fits on two processes with everything that writes, as a script: python record_ddp.py FOLDER."""

import sys
from pathlib import Path

import torch
import torchmetrics

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers import tiny
from helpers.leaving import leave
from thinned.callbacks import (
    DropoutScheduler,
    OverfittingMonitor,
    ProgressMetrics,
    RunRecord,
    WandbDashboard,
)
from thinned.schedules import Linear


class Measured(tiny.TinyModule):
    """Logs a metric that is reduced over the ranks when it is first read."""

    def __init__(self):
        super().__init__()
        self.accuracy = torchmetrics.classification.MulticlassAccuracy(3)

    def training_step(self, batch, batch_idx):
        x, y = batch
        self.accuracy(self(x), y)
        self.log("train_acc", self.accuracy, on_step=False, on_epoch=True)
        return super().training_step(batch, batch_idx)


def main(folder):
    torch.set_num_threads(1)
    callbacks = [
        RunRecord(folder / "run", page=False),
        WandbDashboard(),
        ProgressMetrics(),
        OverfittingMonitor("val_loss"),
        DropoutScheduler(Linear(0.0, 0.4)),
    ]
    tiny.fit(
        callbacks,
        module=Measured(),
        train=tiny.loader(64),
        devices=2,
        strategy="ddp",
        max_epochs=2,
        max_time={"minutes": 10},
        default_root_dir=folder,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    leave()
