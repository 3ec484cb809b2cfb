"""The data sets that come with scikit-learn, as a LightningDataModule."""

from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from thinned._checks import check_choice, check_count

from ._splits import split

Name = Literal["digits", "breast_cancer", "wine", "diabetes"]
Task = Literal["classification", "regression"]

_TASKS: dict[str, Task] = {
    "digits": "classification",
    "breast_cancer": "classification",
    "wine": "classification",
    "diabetes": "regression",
}


class SklearnData(pl.LightningDataModule):
    """A small real data set, split into training, validation and test.

    Images are shaped ``(1, 8, 8)`` with pixels in [0, 1]; tables are shaped ``(features,)`` and
    standardized by mean and deviation of the training split, and so is a number to predict.

    Args:
        name: ``"digits"``, ``"breast_cancer"``, ``"wine"`` or ``"diabetes"``.
        train_size: number of training samples, at least 1.
        val_size: number of validation samples, at least 1; the rest is the test split.
        batch_size: samples a batch, at least 1; validation and test run in one batch up to 1024.
        split_seed: of the split, so that runs of several seeds share it.
        num_workers: processes that load, from 0 on; 0 loads in the training process.

    Attributes:
        task: ``"classification"`` or ``"regression"``.
        shape: shape of one input, without the batch.
        outputs: number of classes, or 1.

    Raises:
        ValueError: if the name is unknown or the splits leave no test sample.

    Example:
        >>> data = SklearnData("wine", train_size=30, val_size=60)
        >>> data.task, data.shape, data.outputs
        ('classification', (13,), 3)
    """

    def __init__(
        self,
        name: Name = "digits",
        train_size: int = 200,
        val_size: int = 500,
        batch_size: int = 32,
        split_seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.name = check_choice("name", name, _TASKS)
        self.task = _TASKS[self.name]
        self.batch_size = check_count("batch_size", batch_size)
        self.num_workers = check_count("num_workers", num_workers, 0)
        inputs, targets = _load(self.name)
        parts = split(len(inputs), train_size, val_size, split_seed)
        inputs, targets = _scale(inputs, targets, parts[0], self.task)
        self.shape = tuple(inputs.shape[1:])
        self.outputs = int(targets.max()) + 1 if self.task == "classification" else 1
        self._parts = [TensorDataset(inputs[part], targets[part]) for part in parts]

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the training batches, in a new order each epoch."""
        return self._loader(0, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the validation batches."""
        return self._loader(1, 1024)

    def test_dataloader(self) -> DataLoader[Any]:
        """Return the test batches."""
        return self._loader(2, 1024)

    def _loader(self, part: int, batch_size: int, *, shuffle: bool = False) -> DataLoader[Any]:
        return DataLoader(
            self._parts[part],
            batch_size=batch_size,
            shuffle=shuffle,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )


def _load(name: str) -> tuple[Tensor, Tensor]:
    """Return inputs and targets as scikit-learn has them."""
    try:
        from sklearn import datasets
    except ImportError as error:
        msg = "The data sets of the main job come with scikit-learn: pip install 'thinned[app]'."
        raise ModuleNotFoundError(msg) from error
    inputs, targets = getattr(datasets, f"load_{name}")(return_X_y=True)
    inputs = torch.as_tensor(inputs, dtype=torch.float32)
    if name == "digits":
        inputs = inputs.reshape(-1, 1, 8, 8) / 16
    return inputs, torch.as_tensor(targets)


def _scale(inputs: Tensor, targets: Tensor, train: Tensor, task: Task) -> tuple[Tensor, Tensor]:
    """Standardize a table, and a number to predict, by the training split alone."""
    if inputs.ndim == 2:
        inputs = _standardize(inputs, train)
    if task == "regression":
        return inputs, _standardize(targets.to(torch.float32)[:, None], train)
    return inputs, targets.to(torch.int64)


def _standardize(values: Tensor, train: Tensor) -> Tensor:
    part = values[train]
    deviation = part.std(dim=0, correction=0)
    return (values - part.mean(dim=0)) / deviation.clamp_min(1e-6)
