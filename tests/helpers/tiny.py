"""Small models, data and trainers for tests: a fit of them takes some hundredths of a second."""

import importlib

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

NAMESPACES = ("pytorch_lightning", "lightning.pytorch")


def mlp(rate=0.5, inputs=8, hidden=16, classes=3):
    """Return a plain perceptron with two dropout layers, at the paths 2 and 5."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Dropout(rate),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(rate),
        nn.Linear(hidden, classes),
    )


def dataset(size=32, inputs=8, classes=3, seed=0):
    """Return random features with labels that depend on them, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(size, inputs, generator=generator)
    labels = features[:, :classes].argmax(dim=1)
    return TensorDataset(features, labels)


def loader(size=32, batch_size=8, shuffle=False, seed=0, **options):
    """Return a loader over :func:`dataset`."""
    return DataLoader(dataset(size, seed=seed), batch_size=batch_size, shuffle=shuffle, **options)


class _Steps:
    """The steps of a classifier; mixed into the LightningModule of either namespace."""

    def __init__(self, net=None, lr=0.1):
        super().__init__()
        self.net = mlp() if net is None else net
        self.lr = lr

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = functional.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.log("val_loss", functional.cross_entropy(logits, y))
        self.log("val_acc", (logits.argmax(dim=1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class TinyModule(_Steps, pl.LightningModule):
    """A classifier that logs ``train_loss``, ``val_loss`` and ``val_acc``."""


class TwoOptimizers(TinyModule):
    """Steps two optimizers by hand at each batch."""

    automatic_optimization = False

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()

    def configure_optimizers(self):
        parts = [self.net[0].parameters(), self.net[3:].parameters()]
        return [torch.optim.SGD(part, lr=0.1) for part in parts]


def module_of(namespace, **options):
    """Return a :class:`TinyModule` whose base is that namespace's LightningModule."""
    base = importlib.import_module(namespace).LightningModule
    return type("TinyModule", (_Steps, base), {})(**options)


def trainer(namespace="pytorch_lightning", **options):
    """Return a Trainer on the CPU that prints, logs and saves nothing unless asked to."""
    quiet = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": None if {"max_steps", "max_time"} & options.keys() else 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
    }
    return importlib.import_module(namespace).Trainer(**{**quiet, **options})


def fit(callbacks=(), module=None, train=None, val=None, ckpt_path=None, **options):
    """Train a :class:`TinyModule`; return the trainer, whose ``lightning_module`` is the model.

    Args:
        callbacks: the callbacks.
        module: another module than a new :class:`TinyModule`.
        train: another train loader than 4 batches of 8.
        val: another validation loader than 2 batches of 8; False for none.
        ckpt_path: checkpoint to resume from.
        options: further arguments of the Trainer.
    """
    if module is None:
        module = module_of(options.get("namespace", NAMESPACES[0]))
    train = loader() if train is None else train
    val = loader(16, seed=1) if val is None else val or None
    saves = any(isinstance(each, pl.callbacks.ModelCheckpoint) for each in callbacks)
    made = trainer(callbacks=list(callbacks), enable_checkpointing=saves, **options)
    made.fit(module, train, val, ckpt_path=ckpt_path)
    return made


def saver(folder, **options):
    """Return a ModelCheckpoint that keeps all it saves, after each epoch unless told otherwise."""
    return pl.callbacks.ModelCheckpoint(folder, **{"save_top_k": -1, **options})


def weights(module):
    """Return copies of all parameters and buffers, for comparing."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def same_weights(first, second):
    """Say whether two :func:`weights` are bitwise equal, keys included."""
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )
