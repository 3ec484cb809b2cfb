"""How much dropout? One perceptron, four rates, 100 patients of the breast cancer data.

Each run is judged by its fair gap (validation loss minus training loss, both with dropout off) and
by the verdict, which says whether another rate would be better.
"""

import pytorch_lightning as pl
import torch
from torch import nn

from thinned.app.data import SklearnData
from thinned.callbacks import DropoutScheduler, OverfittingMonitor


class Classifier(pl.LightningModule):
    """An ordinary LightningModule: it knows nothing of thinned."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(30, 128), nn.ReLU(), nn.Dropout(0.0),
            nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.0),
            nn.Linear(128, 2),
        )  # fmt: skip

    def training_step(self, batch):
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def validation_step(self, batch):
        self.log("val_loss", self.training_step(batch))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def train(rate, epochs):
    """Train from the same seed with a rate at both sites, and return what was measured."""
    pl.seed_everything(0, verbose=False)
    monitor = OverfittingMonitor("val_loss")
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=[DropoutScheduler(rate), monitor], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Classifier(), SklearnData("breast_cancer", train_size=100, val_size=300))
    return monitor


def main(epochs=30):
    print("rate  val_loss     gap  verdict")
    for rate in (0.0, 0.2, 0.5, 0.8):
        monitor = train(rate, epochs)
        loss, gap = (monitor.history[-1][key] for key in ("val_loss", "overfit/gap/val_loss"))
        print(f"{rate:4.1f}  {loss:8.3f}  {gap:6.3f}  {monitor.verdict.word}")
    print("\nThe last of them, with its reasons:", monitor.summary(), sep="\n")


if __name__ == "__main__":
    main()
