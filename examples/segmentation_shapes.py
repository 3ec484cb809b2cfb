"""Drop squares of a feature map: a small network that cuts out drawn discs.

A convolution sees a dropped pixel through its neighbours, so DropBlock (Ghiasi 2018) drops whole
squares. The network holds no dropout; the layers are there only while it trains.
"""

import functools

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from thinned.callbacks import DropoutScheduler, LayerInsert, OverfittingMonitor
from thinned.layers import DropBlock2d
from thinned.schedules import Linear


def draw(count, size=32):  # discs on a noisy ground, and their masks
    axis = torch.arange(size)
    y, x, radius = (torch.rand(3, count, 1, 1, 1) * torch.tensor(size - 8) + 4).unbind()
    away = (axis.view(-1, 1) - y) ** 2 + (axis - x) ** 2
    mask = (away < (2 + radius / 4) ** 2).float()
    return TensorDataset(mask + torch.randn_like(mask), mask)


class Segmenter(pl.LightningModule):
    def __init__(self):
        super().__init__()
        conv = functools.partial(nn.Conv2d, kernel_size=3, padding=1)
        self.encoder = nn.Sequential(conv(1, 16), nn.ReLU(), conv(16, 16, stride=2), nn.ReLU())
        self.decoder = nn.Sequential(nn.Upsample(scale_factor=2), conv(16, 1))

    def training_step(self, batch):
        x, mask = batch
        return nn.functional.binary_cross_entropy_with_logits(self.decoder(self.encoder(x)), mask)

    def validation_step(self, batch):
        self.log("val_loss", self.training_step(batch))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def main(epochs=20):
    pl.seed_everything(0, verbose=False)
    squares = LayerInsert(functools.partial(DropBlock2d, block_size=5), 0.0, include="encoder.*")
    rising = DropoutScheduler(Linear(0.0, 0.1), kinds="drop_block")
    monitor = OverfittingMonitor("val_loss", probe=1.0)  # few images: all of them are the probe
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=[squares, rising, monitor], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Segmenter(), DataLoader(draw(32), 8, shuffle=True), DataLoader(draw(128), 128))
    print(squares.edits[0], monitor.summary(), sep="\n")


if __name__ == "__main__":
    main()
