"""What may be asked of the monitor and its probe."""

from typing import Any

from torch.utils.data import DataLoader

from thinned._checks import check_count, check_number, shown


def checked_probe(wanted: Any) -> Any:
    """Return a loader, a number of samples or a fraction above 0."""
    if isinstance(wanted, DataLoader):
        return wanted
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        return check_count("probe", wanted, what="a number of samples")
    hint = "0.1 probes a tenth of the training set, 500 that many samples; or pass a DataLoader."
    fraction = check_number("probe", wanted, 0.0, 1.0, what="a fraction", hint=hint)
    if fraction == 0.0:
        msg = f"Expected `probe` to be above 0, got {wanted!r}. {hint}"
        raise ValueError(msg)
    return fraction


def checked_monitor(monitor: Any) -> str | None:
    """Return the name of a metric, or None."""
    if monitor is None or isinstance(monitor, str):
        return monitor
    msg = f"Expected `monitor` to be the name of a logged metric, or None, got {shown(monitor)}."
    raise TypeError(msg)


def checked_callback(value: Any) -> Any:
    """Return what has the hooks of a callback."""
    if hasattr(value, "on_validation_start"):
        return value
    msg = f"Expected `keep` to be callbacks of the trainer, got {shown(value)}."
    raise TypeError(msg)
