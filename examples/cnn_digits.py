"""Drop whole channels, more of them as training goes on: a small CNN on 300 digits.

Neighbouring pixels of a feature map are alike, so a single dropped one is guessed from beside it.
Spatial dropout drops the whole map. The network below was written with `nn.Dropout`; `LayerSwap`
exchanges it, without moving a key of the checkpoint, and puts it back when training ends.
"""

import functools

import pytorch_lightning as pl
import torch
from torch import nn

from thinned.app.data import SklearnData
from thinned.app.models import Task
from thinned.callbacks import DropoutScheduler, LayerSwap, OverfittingMonitor
from thinned.schedules import Linear


def network():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Dropout(0.0),
        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(), nn.Dropout(0.0),
        nn.Flatten(), nn.Linear(64 * 16, 64), nn.ReLU(), nn.Dropout(0.0),
        nn.Linear(64, 10),
    )  # fmt: skip


def main(epochs=20):
    pl.seed_everything(0, verbose=False)
    maps = ["net.2", "net.5"]  # the two that stand on feature maps; net.9 stands on units
    swap = LayerSwap({"Dropout": "spatial"}, include=maps)
    schedule = DropoutScheduler({"net.9": 0.5, "maps=net.*": Linear(0.0, 0.3)})
    monitor = OverfittingMonitor("val_loss")
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=[swap, schedule, monitor], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    model = Task(network(), functools.partial(torch.optim.AdamW, lr=2e-3))
    trainer.fit(model, SklearnData("digits", train_size=300, val_size=500))

    print("rates at the end:", schedule.rates)
    print("layers, as before:", type(model.net[2]), type(model.net[5]))
    print("accuracy on validation:", f"{trainer.callback_metrics['val_acc']:.1%}")
    print(monitor.summary())


if __name__ == "__main__":
    main()
