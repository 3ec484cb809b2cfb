"""How the metric that a page is about went through a run."""

import math
from dataclasses import dataclass

from .record import Record

_HIGHER = ("acc", "auc", "auroc", "f1", "precision", "recall", "map", "iou", "r2", "score")


@dataclass(frozen=True, slots=True)
class Course:
    """Where a metric was best, and where it ended.

    ``last`` is the last finite value; ``diverged`` is the epoch from which on there was none.
    """

    metric: str
    mode: str
    best: float
    best_epoch: float
    last: float
    last_epoch: float
    diverged: float | None = None

    @property
    def worse(self) -> float:
        """By how much the end is worse than the best, never negative."""
        return self.last - self.best if self.mode == "min" else self.best - self.last


def main_metric(record: Record) -> str | None:
    """The metric the page is about: the monitored one, else a validation loss.

    Example:
        >>> from pathlib import Path
        >>> from thinned.report import MetricRow
        >>> rows = [MetricRow(1, 0, {"train_loss": 1.0, "val_acc": 0.5, "val_loss": 1.0})]
        >>> main_metric(Record(Path("r"), metrics=rows))
        'val_loss'
    """
    keys = record.metric_names()
    if record.monitor in keys:
        return record.monitor
    ours = [key for key in keys if not key.startswith(("overfit/", "dropout/", "train", "lr"))]
    losses = [key for key in ours if "loss" in key]
    return next(iter([*losses, *ours]), None)


def course(record: Record, metric: str) -> Course | None:
    """Follow one metric through a run; None where it has no value."""
    points = [(epoch, value) for epoch, value in record.series(metric) if math.isfinite(value)]
    if not points:
        return None
    mode = record.mode if metric == record.monitor else guess_mode(metric)
    pick = max if mode == "max" else min
    best_epoch, best = pick(points, key=lambda point: point[1])
    last_epoch, last = points[-1]
    return Course(metric, mode, best, best_epoch, last, last_epoch, diverged(record, metric))


def diverged(record: Record, metric: str | None) -> float | None:
    """The epoch from which on a metric was NaN or infinite; None where it ended finite.

    Example:
        >>> from pathlib import Path
        >>> from thinned.report import MetricRow
        >>> losses = [0.5, math.nan, 0.6, math.nan, math.nan]
        >>> rows = [MetricRow(i, i, {"val_loss": loss}) for i, loss in enumerate(losses)]
        >>> diverged(Record(Path("r"), metrics=rows), "val_loss")
        3
    """
    since = None
    for epoch, value in reversed(record.series(metric) if metric else []):
        if math.isfinite(value):
            break
        since = epoch
    return since


def guess_mode(metric: str) -> str:
    """Whether a metric is better when lower or higher, by its name.

    Example:
        >>> guess_mode("val_loss"), guess_mode("val/acc")
        ('min', 'max')
    """
    name = metric.lower()
    higher = any(word in name for word in _HIGHER) and "loss" not in name
    return "max" if higher else "min"


def train_key(record: Record, metric: str) -> str | None:
    """The training metric that belongs to a validation metric, by its name.

    Example:
        >>> from pathlib import Path
        >>> from thinned.report import MetricRow
        >>> record = Record(Path("r"), metrics=[MetricRow(1, 0, {"val/loss": 1, "train/loss": 1})])
        >>> train_key(record, "val/loss")
        'train/loss'
    """
    keys = set(record.metric_names())
    for word in ("validation", "valid", "val"):
        if word in metric:
            names = [metric.replace(word, train, 1) for train in ("train", "training")]
            found = [key for name in names for key in (f"{name}_epoch", name) if key in keys]
            return found[0] if found else None
    return None
