"""What a run record holds of a trainer, its model and the callbacks beside it.

Callbacks are read by their public attributes (``rates``, ``groups``, ``edits``, ``findings``,
``verdict``), so that a user's own callback with such an attribute is recorded too.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytorch_lightning as pl

from thinned.callbacks import _lightning


def planned_batches(trainer: pl.Trainer) -> int | None:
    """How many batches the run is to have, where that is known."""
    return None if _asks_all_ranks(trainer) else _lightning.progress(trainer).batches_planned


def watched(trainer: pl.Trainer) -> dict[str, Any]:
    """The metric that is watched: our monitor's word comes before that of other callbacks."""
    watching = [
        each
        for each in _lightning.all_callbacks(trainer)
        if isinstance(_get(each, "monitor"), str) and _get(each, "mode") is not None
    ]
    first = min(watching, key=lambda each: not hasattr(each, "history"), default=None)
    return {"monitor": _get(first, "monitor"), "mode": _get(first, "mode")}


def last_gap(trainer: pl.Trainer) -> float | None:
    """The last fair gap of the watched metric, from the monitor's history."""
    for each in _lightning.all_callbacks(trainer):
        history, key = _get(each, "history"), f"overfit/gap/{_get(each, 'monitor')}"
        for row in reversed(history or ()):
            if key in row:
                return float(row[key])
    return None


def sites(pl_module: pl.LightningModule) -> Iterable[Any]:
    """All sites of the model, in its order."""
    from thinned.surgery import find_sites

    return find_sites(pl_module, kinds="all")


def site_row(site: Any, groups: Mapping[str, str]) -> dict[str, Any]:
    """Describe one site."""
    return {
        "path": site.path,
        "kind": site.kind,
        "class": site.cls,
        "rate": _rate(site),
        "live": site.live,
        "group": groups.get(site.path),
    }


def site_rates(sites: Iterable[Any]) -> dict[str, float]:
    """Every site's rate now; placeholders have none."""
    found = ((site.path, _rate(site)) for site in sites)
    return {path: rate for path, rate in found if rate is not None}


def group_of_sites(trainer: pl.Trainer) -> dict[str, str]:
    """Map each scheduled site's path to its group."""
    return {
        site.path: name
        for groups in _attributes(trainer, "groups")
        if isinstance(groups, Mapping)
        for name, members in groups.items()
        for site in members
    }


def rates(trainer: pl.Trainer) -> dict[str, float]:
    """Every group's rate, as its callback read it back."""
    return {
        str(name): float(rate)
        for each in _attributes(trainer, "rates")
        if isinstance(each, Mapping)
        for name, rate in each.items()
    }


def schedules(trainer: pl.Trainer) -> str:
    """What the rates follow, as text."""
    plans = [each for each in _attributes(trainer, "plan") if isinstance(each, Mapping)]
    return ", ".join(
        f"{pattern}: {schedule}" for plan in plans for pattern, schedule in plan.items()
    )


def edits(trainer: pl.Trainer) -> Iterator[dict[str, Any]]:
    """What was swapped and inserted."""
    for each in _attributes(trainer, "edits"):
        for edit in each:
            yield {"text": str(edit), "count": len(edit)}


def findings(trainer: pl.Trainer) -> Iterator[dict[str, Any]]:
    """What the diagnosis found."""
    names = ("rule", "severity", "path", "message", "fix")
    for each in _attributes(trainer, "findings"):
        for finding in each:
            yield {name: getattr(finding, name, None) for name in names}


def verdict(trainer: pl.Trainer) -> dict[str, Any] | None:
    """The verdict so far, of the first callback that has one."""
    for each in _attributes(trainer, "verdict"):
        if hasattr(each, "word"):
            names = ("word", "confidence", "evidence", "action", "remedy", "rates", "epochs")
            return {name: getattr(each, name, None) for name in names}
    return None


def metrics(trainer: pl.Trainer) -> dict[str, float]:
    """Lightning's callback metrics that are single numbers; to be asked on all ranks alike.

    Lightning may reduce a metric over the ranks when it is first read.
    """
    found = trainer.callback_metrics.items()
    single = ((key, value) for key, value in found if getattr(value, "numel", lambda: 1)() == 1)
    return {str(key): float(value) for key, value in single}


def progress(trainer: pl.Trainer) -> float | None:
    """The share of the training that is done, where its length is known."""
    if _asks_all_ranks(trainer):
        return None
    share = _lightning.progress(trainer).fraction
    return None if share is None else round(share, 6)


def epochs_done(trainer: pl.Trainer, *, ended: bool = False) -> float:
    """The epochs that lie behind, with the share of the present one.

    Args:
        trainer: the trainer.
        ended: whether training has ended: then Lightning counts the last epoch as whole.
    """
    batches = trainer.num_training_batches - _lightning.renews_batch_norm(trainer)
    if not batches or math.isinf(batches) or trainer.current_epoch == trainer.max_epochs:
        return float(trainer.current_epoch)
    done = trainer.fit_loop.epoch_loop.batch_progress.current.completed
    return round(trainer.current_epoch - ended + min(done / batches, 1.0), 4)


def validation_epoch(trainer: pl.Trainer) -> float:
    """Lightning's number of the epoch that a validation ends, as in a checkpoint's file name.

    Validations within an epoch lie between that number and the one before.
    """
    batches = trainer.num_training_batches
    inside = batches and not math.isinf(batches)
    return round(epochs_done(trainer) - 1, 4) if inside else float(trainer.current_epoch)


def planned_steps(trainer: pl.Trainer) -> int | None:
    """How many optimizer steps the run is to have, where that can be known."""
    try:
        planned = trainer.estimated_stepping_batches
    except Exception:  # it depends on the user's loaders and on the accumulation plan
        return None
    return None if math.isinf(planned) else int(planned)


def calibration(trainer: pl.Trainer) -> dict[str, Any] | None:
    """How well the plain and the sampled predictions of this test or validation are calibrated."""
    found = next((each for each in _attributes(trainer, "calibration")), None)
    stage = getattr(trainer.state.fn, "value", None)
    if stage not in ("test", "validate") or not isinstance(found, Mapping):
        return None
    return {**found, "stage": stage, "step": trainer.global_step}


def _rate(site: Any) -> float | None:
    return None if site.rate is None else float(site.rate)


def _asks_all_ranks(trainer: pl.Trainer) -> bool:
    """Whether `progress` would wait for the other ranks, which do not ask."""
    return trainer.world_size > 1 and bool(_lightning.callbacks_of(trainer, "Timer"))


def _attributes(trainer: pl.Trainer, name: str) -> Iterator[Any]:
    for callback in _lightning.all_callbacks(trainer):
        found = _get(callback, name)
        if found is not None:
            yield found


def _get(callback: Any, name: str) -> Any:
    """Read an attribute of somebody's callback; one that is not ready yet counts as absent."""
    try:
        return getattr(callback, name, None)
    except Exception:
        return None
