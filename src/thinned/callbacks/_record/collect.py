"""What a run record holds of a trainer, its model and the callbacks beside it.

Callbacks are read by their public attributes (``rates``, ``groups``, ``edits``, ``findings``,
``verdict``), so that a user's own callback with such an attribute is recorded too. One that means
something else by the name is left out.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import pytorch_lightning as pl

from thinned.callbacks._lightning import trainer as lightning

T = TypeVar("T")


def planned_batches(trainer: pl.Trainer) -> int | None:
    """How many batches the run is to have, where that is known."""
    return None if _asks_all_ranks(trainer) else lightning.progress(trainer).batches_planned


def watched(trainer: pl.Trainer) -> dict[str, Any]:
    """The metric that is watched: our monitor's word comes before that of other callbacks."""
    watching = [
        each
        for each in lightning.all_callbacks(trainer)
        if isinstance(_get(each, "monitor"), str) and _get(each, "mode") is not None
    ]
    ours = (each for each in watching if hasattr(each, "history") and hasattr(each, "verdict"))
    first = next(ours, next(iter(watching), None))
    return {"monitor": _get(first, "monitor"), "mode": _get(first, "mode")}


def last_gap(trainer: pl.Trainer) -> float | None:
    """The last fair gap of the watched metric, from the monitor's history."""
    key = f"overfit/gap/{watched(trainer)['monitor']}"

    def last(rows: Sequence[Mapping[str, float]]) -> float | None:
        return next((float(row[key]) for row in reversed(rows) if key in row), None)

    return next((gap for gap in _read(trainer, "history", last) if gap is not None), None)


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

    def paths(groups: Mapping[str, Iterable[Any]]) -> dict[str, str]:
        return {site.path: name for name, members in groups.items() for site in members}

    return _joined(_read(trainer, "groups", paths))


def rates(trainer: pl.Trainer) -> dict[str, float]:
    """Every group's rate, as its callback read it back."""

    def numbers(rates: Mapping[str, float]) -> dict[str, float]:
        return {str(name): float(rate) for name, rate in rates.items()}

    return _joined(_read(trainer, "rates", numbers))


def schedules(trainer: pl.Trainer) -> str:
    """What the rates follow, as text."""
    plans = _read(trainer, "plan", lambda plan: [f"{key}: {each}" for key, each in plan.items()])
    return ", ".join(told for plan in plans for told in plan)


def edits(trainer: pl.Trainer) -> Iterator[dict[str, Any]]:
    """What was swapped and inserted."""
    for found in _read(
        trainer, "edits", lambda edits: [{"text": str(each), "count": len(each)} for each in edits]
    ):
        yield from found


def findings(trainer: pl.Trainer) -> Iterator[dict[str, Any]]:
    """What the diagnosis found."""
    names = ("rule", "severity", "path", "message", "fix")
    for found in _read(
        trainer, "findings", lambda those: [{n: getattr(each, n) for n in names} for each in those]
    ):
        yield from found


def verdict(trainer: pl.Trainer) -> dict[str, Any] | None:
    """The verdict so far, of the first callback that has one."""
    names = ("word", "confidence", "evidence", "action", "remedy", "rates", "epochs")
    given = _read(
        trainer,
        "verdict",
        lambda said: {"word": said.word} | {n: getattr(said, n, None) for n in names},
    )
    return next(given, None)


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
    share = lightning.progress(trainer).fraction
    return None if share is None else round(share, 6)


def epochs_done(trainer: pl.Trainer, *, ended: bool = False) -> float:
    """The epochs that lie behind, with the share of the present one.

    Args:
        trainer: the trainer.
        ended: whether training has ended: then Lightning counts the last epoch as whole.
    """
    batches = trainer.num_training_batches - lightning.renews_batch_norm(trainer)
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
    stage = getattr(trainer.state.fn, "value", None)
    if stage not in ("test", "validate"):
        return None
    more = {"stage": stage, "step": trainer.global_step}
    return next(_read(trainer, "calibration", lambda found: {**found, **more}), None)


def _rate(site: Any) -> float | None:
    return None if site.rate is None else float(site.rate)


def _asks_all_ranks(trainer: pl.Trainer) -> bool:
    """Whether `progress` would wait for the other ranks, which do not ask."""
    return trainer.world_size > 1 and bool(lightning.callbacks_of(trainer, "Timer"))


def _read(trainer: pl.Trainer, name: str, form: Callable[[Any], T]) -> Iterator[T]:
    """Bring what callbacks have under a name into a form; what has another one is not meant."""
    for callback in lightning.all_callbacks(trainer):
        found = _get(callback, name)
        if found is not None:
            with contextlib.suppress(Exception):  # somebody's own attribute of the same name
                yield form(found)


def _joined(parts: Iterable[Mapping[str, T]]) -> dict[str, T]:
    return {key: value for part in parts for key, value in part.items()}


def _get(callback: Any, name: str) -> Any:
    """Read an attribute of somebody's callback; one that is not ready yet counts as absent."""
    try:
        return getattr(callback, name, None)
    except Exception:
        return None
