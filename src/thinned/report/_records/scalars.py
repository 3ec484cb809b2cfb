"""Makes a record of the scalars that somebody else's logger kept: a run made without us."""

import math
import re
from bisect import bisect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .data import HUGE, LARGEST, clean
from .record import MetricRow, RateRow, Record, Source
from .writer import plain

_NO_METRICS = ("epoch", "step", "hp_metric")
_RATE = re.compile(r"dropout/(.+)/rate")  # what our schedulers log


def record_of_scalars(
    path: Path,
    source: Source,
    points: Iterable[tuple[float, float | None, str, float]],
    config: Mapping[str, Any] | None = None,
) -> Record:
    """Gather scalars into one row a validation.

    A validation is a step at which something other than training metrics was logged. It gets the
    mean of the training metrics logged since the validation before it. Several validations of an
    epoch share it evenly.

    Args:
        path: where it was read.
        source: who wrote it.
        points: (step, epoch or None, metric, value), in any order; what is infinite, or at no
            whole step, is left out. NaN stays: the run diverged.
        config: the run's hyperparameters, where they were kept.
    """
    steps: dict[int, dict[str, float]] = {}
    rates: dict[int, dict[str, float]] = {}
    epochs: dict[int, float] = {}
    for at, epoch, key, value in points:
        if not abs(at) <= LARGEST:
            continue
        step = int(at)
        if epoch is not None and abs(epoch) <= LARGEST:
            epochs[step] = epoch
        if group := _RATE.fullmatch(key):
            if 0.0 <= value <= 1.0:
                rates.setdefault(step, {})[group[1]] = value
        elif key not in _NO_METRICS and not abs(value) > HUGE:
            steps.setdefault(step, {})[clean(str(key))] = value
    record = Record(path=path, source=source, config=clean(plain(config or {})))
    record.name = clean(record.folder.name)
    seed = record.config.get("seed")
    record.seed = seed if isinstance(seed, int) and abs(seed) <= LARGEST else None
    record.metrics = _rows(steps, epochs)
    record.rates = _rate_rows(rates, epochs)
    return record


def _rate_rows(rates: Mapping[int, dict[str, float]], epochs: Mapping[int, float]) -> list[RateRow]:
    """One row a step at which rates were logged, in the epoch that was logged last."""
    known = sorted(epochs)
    rows = []
    for step in sorted(rates):
        passed = bisect(known, step)
        epoch = epochs[known[passed - 1]] if passed else 0.0
        rows.append(RateRow(step, epoch, None, rates[step], {}))
    return rows


def _rows(steps: Mapping[int, dict[str, float]], epochs: Mapping[int, float]) -> list[MetricRow]:
    rows: list[MetricRow] = []
    train: dict[str, list[float]] = {}
    for step in sorted(steps):
        values = steps[step]
        for key, value in values.items():
            if is_train(key):
                train.setdefault(key, []).append(value)
        validated = {key: value for key, value in values.items() if not is_train(key)}
        if validated and not all(key.startswith("lr") for key in validated):
            means = {key: math.fsum(seen) / len(seen) for key, seen in train.items()}
            rows.append(MetricRow(step, epochs.get(step, math.nan), {**means, **validated}))
            train = {}
    return _with_epochs(rows)


def _with_epochs(rows: list[MetricRow]) -> list[MetricRow]:
    """Several validations of an epoch end with its number; without epochs count the rows."""
    if any(math.isnan(row.epoch) for row in rows):
        return [MetricRow(row.step, float(i), row.values) for i, row in enumerate(rows)]
    inside: dict[float, list[MetricRow]] = {}
    for row in rows:
        inside.setdefault(row.epoch, []).append(row)
    return [
        MetricRow(row.step, epoch - 1 + (i + 1) / len(members), row.values)
        for epoch, members in inside.items()
        for i, row in enumerate(members)
    ]


def is_train(key: str) -> bool:
    """Whether a metric is one of training, by its name.

    Example:
        >>> is_train("train_loss"), is_train("train/acc_epoch"), is_train("val_loss")
        (True, True, False)
    """
    return key.lower().startswith("train")
