"""Tiny models and trainers for tests of the monitor, in either of Lightning's namespaces."""

import importlib
from typing import Any

import torch
import torchmetrics
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

NAMESPACES = ("pytorch_lightning", "lightning.pytorch")


def lightning(name: str = "pytorch_lightning") -> Any:
    return importlib.import_module(name)


def data(size: int = 80, seed: int = 0, classes: int = 3) -> TensorDataset:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 6, generator=draw)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()
    wrong = torch.rand(size, generator=draw) < 0.2
    return TensorDataset(x, torch.where(wrong, torch.randint(classes, y.shape, generator=draw), y))


def train_loader(dataset: Any = None, **options: Any) -> DataLoader:
    options = {"batch_size": 16, "shuffle": True, **options}
    return DataLoader(data() if dataset is None else dataset, **options)


def val_loader(**options: Any) -> DataLoader:
    return DataLoader(data(40, seed=1), batch_size=16, **options)


def net() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.5)), nn.Linear(12, 3)
    )


def module_class(pl: Any) -> type:
    class Plain(pl.LightningModule):
        """Dropout, batch norm, a loss: the least that people have."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def loss(self, batch: Any) -> Any:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.loss(batch)

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("val_loss", self.loss(batch))

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=0.01)

    return Plain


def metrics_class(pl: Any) -> type:
    class Metrics(module_class(pl)):  # type: ignore[misc]
        """Every style of logging at once."""

        def __init__(self) -> None:
            super().__init__()
            options = {"task": "multiclass", "num_classes": 3}
            self.train_acc = torchmetrics.Accuracy(**options)
            self.acc = torchmetrics.Accuracy(**options)
            self.several = torchmetrics.MetricCollection(
                {
                    "auroc": torchmetrics.AUROC(**options),
                    "f1": torchmetrics.F1Score(**options, average="macro"),
                    "precision": torchmetrics.Precision(**options, average="macro"),
                }
            )
            self.by_hand = torchmetrics.Accuracy(**options)
            self.best = torchmetrics.MaxMetric()
            self.outputs: list[Any] = []
            self.seen = 0

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            out = self.net(batch[0])
            self.train_acc(out, batch[1])
            self.log("train_acc", self.train_acc, on_step=False, on_epoch=True)
            loss = nn.functional.cross_entropy(out, batch[1])
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            out = self.net(batch[0])
            loss = nn.functional.cross_entropy(out, batch[1])
            self.acc(out, batch[1])
            self.several.update(out, batch[1])
            self.by_hand.update(out, batch[1])
            self.outputs.append(loss.detach())
            self.seen += len(batch[1])
            self.log("val_loss", loss)
            self.log("val_acc", self.acc)
            self.log("both", loss, on_step=True, on_epoch=True)
            self.log("largest", loss, reduce_fx="max")
            self.log("total", loss, reduce_fx="sum")
            self.log("weighted", loss, batch_size=len(batch[1]) * 2)
            self.log_dict({"a": loss * 2, "b": loss.item() + 1.0})
            self.log_dict(self.several)

        def on_validation_epoch_end(self) -> None:
            self.log("mean_of_list", torch.stack(self.outputs).mean())
            self.outputs.clear()
            value = self.by_hand.compute()
            self.by_hand.reset()
            self.best.update(value)
            self.log("by_hand", value)
            self.log("best", self.best)

    return Metrics


def fit(pl: Any, model: Any, callbacks: Any = (), **options: Any) -> Any:
    """Train on the CPU, quietly; `loaders` and `val` choose the data."""
    loaders = options.pop("loaders", None)
    val = options.pop("val", "default")
    quiet = {
        "logger": False,
        "enable_checkpointing": any("Checkpoint" in type(c).__name__ for c in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
        "max_epochs": 2,
    }
    trainer = pl.Trainer(callbacks=list(callbacks), **{**quiet, **options})
    trainer.fit(
        model,
        train_loader() if loaders is None else loaders,
        val_loader() if isinstance(val, str) else val,
    )
    return trainer


def build(kind: Any, seed: int = 7) -> Any:
    """Make a model, and leave the generators where they always are after it."""
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return kind()


def weights(model: Any) -> list[torch.Tensor]:
    return [t.clone() for t in model.state_dict().values()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return bool(one) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
