"""The fair gap of an Ultralytics training: fixed training images, evaluated as validation is."""

import logging
from typing import Any

import torch
from torch.utils.data import DataLoader

from thinned._checks import check_number
from thinned._generators import generators_kept
from thinned.metrics import gap, ratio


class Probe:
    """Evaluates a fixed subset of the training images each epoch, by Ultralytics' own validator.

    The same weights (the moving average), the same code, the same batch size and no augmentation:
    what differs from validation is only the images.

    Args:
        size: share of the training images (float), or how many (int).
        seed: chooses the images.
    """

    def __init__(self, size: float, seed: int = 0) -> None:
        low, high = (1, float("inf")) if isinstance(size, int) else (0.0, 1.0)
        check_number("probe", size, low, high, what="a share (float) or a number (int) of images")
        self.size, self.seed = size, seed
        self.history: list[dict[str, float]] = []
        self._validator: Any = None
        self._due = False

    def start(self) -> None:
        """Begin a training: another one may have other images."""
        self.history, self._validator, self._due = [], None, False

    def expect(self) -> None:
        """An epoch has been trained; the validation that follows is the one to compare with.

        Ultralytics validates ``best.pt`` once more at the end, and says so by the same callback.
        """
        self._due = True

    def measure(self, trainer: Any, rate: float) -> dict[str, float] | None:
        """Evaluate the probe; return the row that was added, ``None`` where nothing was due."""
        validated = trainer.args.val or trainer.epoch + 1 >= trainer.epochs
        if not self._due or not validated:
            return None
        self._due = False
        validation = losses(trainer.metrics or {}, "val")
        training = losses(trainer.label_loss_items(trainer.tloss, prefix="train"), "train")
        probe = self._evaluate(trainer)
        row = {"epoch": float(trainer.epoch), "rate": rate}
        for name in (name for name in validation if name in probe):
            key = f"val/{name}"
            row[key] = validation[name]
            row[f"train/{name}"] = training[name]
            row[f"overfit/probe/{key}"] = probe[name]
            row[f"overfit/gap/{key}"] = gap(validation[name], probe[name])
            row[f"overfit/ratio/{key}"] = ratio(validation[name], probe[name])
        self.history.append(row)
        return row

    def _evaluate(self, trainer: Any) -> dict[str, float]:
        voice = logging.getLogger("ultralytics")
        level = voice.level
        with generators_kept(self.seed):
            if self._validator is None:
                self._validator = self._build(trainer)
            voice.setLevel(logging.ERROR)  # a second table an epoch would be taken for validation's
            try:
                results = self._validator(trainer)
            finally:
                voice.setLevel(level)
        return losses(results or {}, "val")

    def _build(self, trainer: Any) -> Any:
        batch = trainer.test_loader.batch_size
        images = trainer.build_dataset(trainer.data["train"], mode="val", batch=batch)
        batches = choose(images, trainer.train_loader.dataset, self.size, batch, self.seed)
        validator = trainer.get_validator()
        validator.dataloader = DataLoader(
            images,
            batch_sampler=batches,
            collate_fn=getattr(images, "collate_fn", None),
        )
        validator.callbacks = dict.fromkeys(validator.callbacks, ())
        validator.args.plots = validator.args.save_json = False
        return validator


def choose(images: Any, trained: Any, size: float, batch: int, seed: int) -> list[list[int]]:
    """Choose batches of images, none across two batches of the data set: each has its own shape.

    Only images that are trained on: ``train(fraction=...)`` leaves some out.
    """
    count = len(images)
    wanted = size if isinstance(size, int) else max(round(size * count), 1)
    batches = [list(range(start, min(start + batch, count))) for start in range(0, count, batch)]
    files = getattr(images, "im_files", None)
    seen = set(getattr(trained, "im_files", None) or files or ())
    order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen: list[list[int]] = []
    for number in order:
        kept = [i for i in batches[number] if files is None or files[i] in seen][:wanted]
        wanted -= len(kept)
        chosen += [kept] if kept else []
    return chosen


def losses(values: Any, prefix: str) -> dict[str, float]:
    """Return the losses among Ultralytics' metrics by their bare names, and their sum, ``loss``.

    Example:
        >>> losses({"val/box_loss": 2.0, "val/cls_loss": 3.0, "metrics/mAP50(B)": 0.5}, "val")
        {'box_loss': 2.0, 'cls_loss': 3.0, 'loss': 5.0}
        >>> losses({"val/loss": 0.5}, "val")
        {'loss': 0.5}
    """
    start = f"{prefix}/"
    found = {k.removeprefix(start): float(v) for k, v in values.items() if k.startswith(start)}
    return found if not found or "loss" in found else {**found, "loss": sum(found.values())}
