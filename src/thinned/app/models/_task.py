"""The LightningModule that trains any network by its task."""

from collections.abc import Callable, Iterable
from typing import Literal

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer


class Task(pl.LightningModule):
    """Trains a network to classify, or to predict a number.

    Logs ``train_loss``, ``val_loss`` and ``test_loss`` (cross-entropy or mean squared error), and
    ``val_acc``, ``test_acc`` (share of right classes) or ``val_mae``, ``test_mae`` (mean absolute
    error). ``train_loss`` is measured with dropout on, so it is no fair partner of ``val_loss``.

    Args:
        net: makes logits or predictions, shaped ``(N, outputs)``.
        optimizer: called with the parameters, makes the optimizer.
        task: ``"classification"`` or ``"regression"``.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        task: Literal["classification", "regression"] = "classification",
    ) -> None:
        super().__init__()
        self.net = net
        self.task = task
        self._optimizer = optimizer

    def forward(self, x: Tensor) -> Tensor:
        """Return logits or predictions."""
        output: Tensor = self.net(x)
        return output

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss of a batch, with dropout on."""
        loss, _, _ = self._losses(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Log loss and accuracy or error of a batch."""
        self._evaluate("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Log loss and accuracy or error of a batch."""
        self._evaluate("test", batch)

    def configure_optimizers(self) -> Optimizer:
        """Return the optimizer over all parameters."""
        return self._optimizer(self.parameters())

    def _evaluate(self, split: str, batch: tuple[Tensor, Tensor]) -> None:
        loss, name, metric = self._losses(batch)
        values = {f"{split}_loss": loss, f"{split}_{name}": metric}
        # One batch's mean weighs by its size; the mean over ranks needs the reduction.
        self.log_dict(values, prog_bar=True, batch_size=len(batch[0]), sync_dist=True)

    def _losses(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, str, Tensor]:
        x, y = batch
        output = self(x)
        if self.task == "regression":
            return functional.mse_loss(output, y), "mae", functional.l1_loss(output, y)
        return (
            functional.cross_entropy(output, y),
            "acc",
            (output.argmax(dim=1) == y).float().mean(),
        )
