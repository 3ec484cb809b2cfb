"""Reads the folder that Lightning's CSVLogger wrote."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .data import check_file, check_size
from .record import Record
from .scalars import record_of_scalars

CSV_NAME = "metrics.csv"
HPARAMS_NAME = "hparams.yaml"


def read_csv_logs(folder: Path) -> Record:
    """Make a record of ``metrics.csv`` and, where it is, ``hparams.yaml``.

    Raises:
        ValueError: if the table is no ordinary file, too large, or no table. An empty file is one
            of a run that has logged nothing yet.
    """
    file = check_file(folder / CSV_NAME, "a table of metrics")
    return record_of_scalars(file, "csv", _points(file), hyperparameters(folder))


def hyperparameters(folder: Path) -> dict[str, Any]:
    """The plain values of ``hparams.yaml``; a file with anything else in it is left out."""
    import yaml

    file = folder / HPARAMS_NAME
    if not file.exists():
        return {}
    try:
        found = yaml.safe_load(check_file(file, "hyperparameters").read_text("utf-8"))
        check_size(found)  # a few lines of aliases can stand for gigabytes
    except (yaml.YAMLError, ValueError, RecursionError):  # such as objects of the user's code
        return {}
    return found if isinstance(found, dict) else {}


def _points(file: Path) -> Iterator[tuple[float, float | None, str, float]]:
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
        try:
            for number, row in enumerate(csv.DictReader(lines)):
                values = {
                    key: value for key, text in row.items() if (value := _float(text)) is not None
                }
                step, epoch = values.pop("step", float(number)), values.pop("epoch", None)
                for key, value in values.items():
                    yield step, epoch, key, value
        except csv.Error as error:
            msg = f"Expected a table of metrics in {file}, got none: {error}."
            raise ValueError(msg) from error


def _float(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
