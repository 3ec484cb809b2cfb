"""Reads a run, whoever wrote it."""

from pathlib import Path

from .csv_logs import CSV_NAME, read_csv_logs
from .read_record import read_record
from .record import Record
from .refused import refused, stopped_at
from .tensorboard_logs import EVENTS, read_tensorboard_logs
from .writer import FILE_NAME

NO_READER = (
    "{} is an offline run of W&B, whose file has no public reader. Log to CSV as well "
    "(`logger=[WandbLogger(), CSVLogger()]`), or add `RunRecord()` to the callbacks."
)


def read_run(path: str | Path, *, rates: bool = True) -> Record:
    """Read a run's folder: our own record, else what CSVLogger or TensorBoardLogger left.

    Of a job of ``thinned train`` that failed before its training, ``status.json`` is read.

    Args:
        path: the run's folder, or a record's file.
        rates: whether to read the rates too; a comparison of many runs does not need them.

    Raises:
        FileNotFoundError: if the folder holds none of these.
        ImportError: if it holds TensorBoard's files only, and ``tensorboard`` is missing.
    """
    path = Path(path)
    if path.is_file() and path.suffix != ".jsonl":
        path = path.parent
    if path.is_file() or (path / FILE_NAME).exists():
        record = read_record(path, rates=rates)
        record.stopped_at = stopped_at(record.folder)
        return record
    if (path / CSV_NAME).exists():
        return read_csv_logs(path)
    if any(path.glob(EVENTS)):
        return read_tensorboard_logs(path)
    if (job := refused(path)) is not None:
        return job
    if any(path.glob("*.wandb")):
        raise FileNotFoundError(NO_READER.format(path))
    msg = (
        f"Expected a folder with {FILE_NAME}, {CSV_NAME} or TensorBoard's events, found none in "
        f"{path}. Add `RunRecord()` to the callbacks."
    )
    raise FileNotFoundError(msg)


def holds_run(files: list[str]) -> bool:
    """Whether a folder with these files is that of a run."""
    return (
        FILE_NAME in files
        or CSV_NAME in files
        or any(name.startswith(EVENTS.rstrip("*")) for name in files)
    )
