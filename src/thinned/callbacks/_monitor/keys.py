"""Which logged metric is watched, and which probe figure belongs to which validation figure."""

from collections.abc import Iterable
from typing import Any

from thinned._checks import nearest
from thinned.callbacks._lightning.trainer import callbacks_of, lightning_class

_OURS = ("overfit/gap/", "overfit/ratio/", "overfit/probe/", "overfit/inflation/")
SUFFIX = "/dataloader_idx_"
IN_CODE = "OverfittingMonitor(monitor=...) or regularize(monitor=...)"  # where the metric is named


def watched(
    trainer: Any,
    monitor: str | None,
    mode: str,
    logged: Iterable[str],
    *,
    whose: str = "OverfittingMonitor",
    loss: bool = False,
) -> tuple[str, str] | None:
    """Say which key is watched, and whether it is to be minimized or maximized.

    Args:
        trainer: its EarlyStopping and ModelCheckpoint are asked where ``monitor`` is None.
        monitor: what the user named, if anything.
        mode: what the user said, for a named metric.
        logged: keys of the first validation.
        whose: the callback that asks.
        loss: whether it has to be a loss: what others monitor counts only if its name says so.

    Returns:
        Key and mode; None where nothing is named and nothing is logged.

    Raises:
        ValueError: if what is named is not logged, or nothing is named and nothing can be chosen.
    """
    keys = list(logged)
    if monitor is not None:
        return _present(monitor, keys), mode
    for asked, its_mode in _monitored(trainer):
        named = _as_logged(asked, keys)
        if named is not None and (not loss or (its_mode == "min" and _is_loss(named))):
            return named, its_mode
    if not keys:
        return None
    losses = [key for key in keys if _is_loss(key)]
    first = [k for k in losses if SUFFIX not in k or k.endswith(f"{SUFFIX}0")]
    if len(first) == 1:
        return first[0], "min"
    found = f"{len(first)} contain" if first else "none contains"
    where = IN_CODE if whose == "OverfittingMonitor" else f"{whose}(monitor=...)"
    msg = (
        "Cannot choose what to watch: of the keys that validation logs, "
        f"{found} 'loss'. Name one: {where}. Logged: {_listed(keys)}."
    )
    raise ValueError(msg)


def loader_of(key: str) -> tuple[str, int | None]:
    """Return a metric's name without a loader's suffix, and the number of that loader, if any."""
    name, suffix, number = key.partition(SUFFIX)
    return name, int(number) if suffix else None


def pairs(validation: Iterable[str], probe: Iterable[str]) -> list[tuple[str, str]]:
    """Pair each validation key with the probe's: the same, or the same without a loader's suffix.

    Example:
        >>> pairs(["loss/dataloader_idx_0", "loss/dataloader_idx_1", "other"], ["loss"])
        [('loss/dataloader_idx_0', 'loss'), ('loss/dataloader_idx_1', 'loss')]
    """
    known = set(probe)
    both = ((key, key if key in known else key.partition(SUFFIX)[0]) for key in validation)
    return [(key, own) for key, own in both if own in known]


def _is_loss(key: str) -> bool:
    return "loss" in key.partition(SUFFIX)[0].lower()


def _as_logged(named: str, keys: list[str]) -> str | None:
    """The key that is meant: with on_step and on_epoch Lightning puts ``_epoch`` behind a name."""
    name, suffix, number = named.partition(SUFFIX)
    base = f"{name.removesuffix('_epoch')}{suffix}{number}"
    return next((key for key in (named, base) if key in keys), None)


def _present(monitor: str, keys: list[str]) -> str:
    found = _as_logged(monitor, keys)
    if found is not None:
        return found
    if not keys:
        msg = (
            f"Expected `monitor` {monitor!r} to be logged by validation, which logs nothing. "
            f"Log it: self.log({monitor!r}, ...) in validation_step."
        )
        raise ValueError(msg)
    msg = (
        f"Expected `monitor` to be a key that validation logs, got {monitor!r}."
        f"{nearest(monitor, keys)} Logged: {_listed(keys)}."
    )
    raise ValueError(msg)


def _monitored(trainer: Any) -> list[tuple[str, str]]:
    """What EarlyStopping and ModelCheckpoint of the trainer's own namespace monitor."""
    found = []
    for kind in ("EarlyStopping", "ModelCheckpoint"):
        for callback in callbacks_of(trainer, kind):
            if callback.monitor:
                name = callback.monitor
                for prefix in _OURS:
                    name = name.removeprefix(prefix)
                found.append((name, callback.mode))
    return found


def stale_between(trainer: Any, every: int) -> str:
    """Warn of EarlyStopping on keys that are not measured at each validation; else say nothing."""
    asked = (callback.monitor for callback in callbacks_of(trainer, "EarlyStopping"))
    keys = [key for key in asked if key and key.startswith(_OURS)]
    if every == 1 or not keys:
        return ""
    return (
        f"EarlyStopping looks at {_listed(keys)} after every validation, but it is measured at "
        f"every {every}th: in between, the old value counts as no improvement. Let its patience be "
        "some times that, or leave out `every`."
    )


def unmeasured(monitor: str | None, loaders: int) -> str:
    """Say why the probe does not measure the watched key, by the number of validation loaders."""
    why = (
        "It stands for the first loader: watch a key of that."
        if loaders > 1
        else "Log it in validation_step; or pass the callback that logs it: "
        "OverfittingMonitor(keep=[callback])."
    )
    return f"The probe does not log {monitor!r}, so there is no verdict. {why}"


def refuse_second(trainer: Any, kind: type[Any]) -> None:
    """Refuse two monitors in one trainer: their probes and verdicts would share the logged keys.

    Raises:
        ValueError: naming both.
    """
    found = [callback.state_key for callback in trainer.callbacks if isinstance(callback, kind)]
    if len(found) > 1:
        msg = (
            f"Expected one OverfittingMonitor in a trainer (`regularize` brings one), got "
            f"{len(found)}: {', '.join(found)}. Leave one: it measures every metric that "
            "validation logs. A verdict by another metric is "
            "`thinned.metrics.verdict(monitor.history, 'val_acc', 'max')`."
        )
        raise ValueError(msg)


def in_front(trainer: Any, callback: Any) -> list[Any]:
    """The trainer's callbacks, with ours before those that read metrics when validation ends."""
    readers = tuple(lightning_class(trainer, k) for k in ("EarlyStopping", "Checkpoint"))
    others = [c for c in trainer.callbacks if c is not callback]
    place = next((i for i, c in enumerate(others) if isinstance(c, readers)), len(others))
    was = trainer.callbacks.index(callback)
    place = min(place, was)
    return [*others[:place], callback, *others[place:]]


def _listed(keys: list[str]) -> str:
    return ", ".join(repr(k) for k in keys)
