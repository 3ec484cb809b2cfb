"""From figures to a row of the history: pure, without a trainer."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from thinned._checks import check_count, shown
from thinned.callbacks._probe.probe import Reading
from thinned.metrics._gap import gap, inflation, ratio
from thinned.metrics._onset import onset
from thinned.metrics._prechelt import as_errors, generalization_loss, progress_quotient
from thinned.metrics._verdict import VERDICTS, Verdict, verdict
from thinned.metrics._verdict_features import NEW_PROBE, same_probe

from .keys import SUFFIX, pairs

Row = dict[str, Any]
PASSING = ("overfit/onset", NEW_PROBE)  # said at one validation, and no more at the next


def measured(validation: Mapping[str, float], reading: Reading) -> Row:
    """Return what the probe adds to a row: probe, gap, ratio and inflation of every metric."""
    row: Row = {}
    for key, own in pairs(validation, reading.probe):
        value, probe = validation[key], reading.probe[own]
        row[f"overfit/probe/{key}"] = probe
        row[f"overfit/gap/{key}"] = gap(value, probe)
        row[f"overfit/ratio/{key}"] = ratio(value, probe)
        if own in reading.noisy and own in reading.part:
            row[f"overfit/inflation/{key}"] = inflation(reading.noisy[own], reading.part[own])
    return row | reading.units


def checked_loaders(shifted: Any) -> dict[str, int]:
    """Return names of validation loaders with their index, if that is what they are."""
    if not isinstance(shifted, Mapping | None):
        msg = f"Expected `shifted` to be as in {{'fog': 1}}, got {shown(shifted)}."
        raise TypeError(msg)
    what = "the number of a validation loader"
    return {
        str(name): check_count(f"shifted[{name!r}]", index, 0, what=what)
        for name, index in (shifted or {}).items()
    }


def check_numbers(shifted: Mapping[str, int], loaders: int) -> None:
    """Refuse the number of a validation loader that is not there.

    Raises:
        ValueError: naming it.
    """
    for name, index in shifted.items():
        if index >= loaders:
            msg = (
                f"Expected shifted[{name!r}] to be the number of a validation loader, from 0 to "
                f"{loaders - 1}, got {index}. The clean one is 0, the shifted ones come after it."
            )
            raise ValueError(msg)


def robustness(validation: Mapping[str, float], shifted: Mapping[str, int]) -> Row:
    """Return the gap of each shifted validation loader to the first, clean one.

    Example:
        >>> logged = {"loss/dataloader_idx_0": 0.5, "loss/dataloader_idx_1": 0.75}
        >>> robustness(logged, {"fog": 1})
        {'overfit/robustness/fog/loss': 0.25}
    """
    row: Row = {}
    for name, index in shifted.items():
        for key, value in validation.items():
            base, _, number = key.partition(SUFFIX)
            clean = validation.get(f"{base}{SUFFIX}0")
            if number == str(index) and clean is not None:
                row[f"overfit/robustness/{name}/{base}"] = gap(value, clean)
    return row


def judged(history: Sequence[Row], key: str, mode: str) -> tuple[Row, Verdict]:
    """Return what the history so far says of the watched metric, and the verdict."""
    said = verdict(history, key, mode)
    row: Row = {"overfit/verdict": float(VERDICTS.index(said.word))}
    own = f"overfit/probe/{key}"
    seen = [r for r in history if math.isfinite(r.get(key, math.nan))]
    same = history[same_probe(history) :]
    probes = [r[own] for r in same if math.isfinite(r.get(own, math.nan))]
    if seen and seen[-1] is history[-1]:
        errors = as_errors([r[key] for r in seen], mode)
        row["overfit/gl"] = generalization_loss(errors)
        if probes:
            row["overfit/pq"] = progress_quotient(errors, as_errors(probes, mode))
        since = onset(errors, [r["epoch"] for r in seen])
        if since is not None:
            row["overfit/onset"] = float(since.epoch)
    return {k: v for k, v in row.items() if math.isfinite(v)}, said
