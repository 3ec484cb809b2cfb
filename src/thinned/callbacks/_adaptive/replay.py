"""The decisions of a controller as a schedule: pure, without a trainer."""

from collections.abc import Mapping, Sequence
from typing import Any

from thinned.callbacks._lightning.plan import fraction
from thinned.schedules import Step


def replay(history: Sequence[Mapping[str, Any]], rate: float, planned: int | None) -> Step:
    """Return the rates that were set, each from the batch on at which it was.

    Args:
        history: the decisions: ``rate`` before, ``next_rate``, and ``batches`` done by then.
        rate: the rate where nothing was decided.
        planned: batches of the whole training; None takes those up to the last decision.

    Example:
        >>> row = {"rate": 0.9, "next_rate": 0.6, "batches": 5}
        >>> replay([row, {"rate": 0.6, "next_rate": 0.5, "batches": 11}], 0.5, 11)
        Step(rates=(0.9, 0.6), at=(0.5,))
    """
    if not history:
        return Step((rate,), at=())
    length = history[-1]["batches"] + 1 if planned is None else planned
    rates, at = [history[0]["rate"]], []
    for row in history:
        place = fraction(row["batches"], length)
        if row["batches"] < length and row["next_rate"] != rates[-1] and place is not None:
            rates.append(row["next_rate"])
            at.append(place)
    return Step(tuple(rates), at=tuple(at))
