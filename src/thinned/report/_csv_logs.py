"""Reads the folder that Lightning's CSVLogger wrote."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thinned.report._record import Record
from thinned.report._scalars import record_of_scalars

CSV_NAME = "metrics.csv"
HPARAMS_NAME = "hparams.yaml"


def read_csv_logs(folder: Path) -> Record:
    """Make a record of ``metrics.csv`` and, where it is, ``hparams.yaml``."""
    return record_of_scalars(
        folder / CSV_NAME, "csv", _points(folder / CSV_NAME), hyperparameters(folder)
    )


def hyperparameters(folder: Path) -> dict[str, Any]:
    """The plain values of ``hparams.yaml``; Python objects in it are left out."""
    import yaml

    file = folder / HPARAMS_NAME
    if not file.exists():
        return {}
    try:
        found = yaml.safe_load(file.read_text("utf-8"))
    except yaml.YAMLError:  # it holds objects that only the user's code can make
        return {}
    return found if isinstance(found, dict) else {}


def _points(file: Path) -> Iterator[tuple[int, float | None, str, float]]:
    with file.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.DictReader(lines)):
            values = {
                key: value for key, text in row.items() if (value := _float(text)) is not None
            }
            step = int(values.pop("step", number))
            epoch = values.pop("epoch", None)
            for key, value in values.items():
                yield step, epoch, key, value


def _float(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
