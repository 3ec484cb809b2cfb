"""Reads the folder that Lightning's TensorBoardLogger wrote."""

from pathlib import Path

from .csv_logs import hyperparameters
from .data import check_file
from .record import Record
from .scalars import record_of_scalars

EVENTS = "events.out.tfevents.*"


def read_tensorboard_logs(folder: Path) -> Record:
    """Make a record of the scalars in the event files.

    Raises:
        ImportError: if the package ``tensorboard`` is missing.
        ValueError: if the files are no ordinary ones, too large, or no events.
    """
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        msg = "Reading TensorBoard's files needs its package: pip install tensorboard"
        raise ImportError(msg) from error
    for file in folder.glob(EVENTS):
        check_file(file, "TensorBoard's events")
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    try:
        events.Reload()
    except Exception as error:  # whatever TensorBoard makes of such bytes
        msg = f"Expected TensorBoard's events in {folder}, got none that it can read: {error}."
        raise ValueError(msg) from error
    if events.file_version is None:  # the first thing that a writer of events writes
        msg = f"Expected TensorBoard's events in {folder}, got none."
        raise ValueError(msg)
    tags = events.Tags()["scalars"]
    epochs = {e.step: float(e.value) for e in events.Scalars("epoch")} if "epoch" in tags else {}
    points = [
        (event.step, epochs.get(event.step), tag, float(event.value))
        for tag in tags
        for event in events.Scalars(tag)
    ]
    return record_of_scalars(folder, "tensorboard", points, hyperparameters(folder))
