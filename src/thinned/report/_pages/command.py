"""What to type after a run, to do what its verdict says."""

import math
import re
import shlex
from collections.abc import Mapping
from typing import Any

from thinned.metrics._verdict import Verdict
from thinned.report._comparison.choices import flat
from thinned.report._records.record import Record

_CONSTANT = "schedule=constant"
# Of a record whose verdict has no numbers of its own: one of an earlier version.
_EPOCHS = re.compile(r"max_epochs=(\d+)")
_ONE_RATE = re.compile(r"\(dropout=(\d[\d.e-]*)\)")
_RATES = re.compile(r"\(dropout=\.\.\.\) at ([\d.,e-]+),")
_SAME = 0.01  # as a verdict writes rates
_RATE_NAMES = ("rate", "end", "high", "start")


def command(record: Record, said: Verdict) -> str:
    """What to copy: the overrides for the Hydra application, else the code the action names.

    Example:
        >>> from pathlib import Path
        >>> record = Record(Path("r"), config={"schedule": None}, overrides=["seed=1"])
        >>> todo = "Add dropout: thinned.regularize(dropout=0.2)"
        >>> command(record, Verdict("overfitting", 0.9, (), todo, remedy="raise the rate"))
        'thinned train seed=1 schedule=constant schedule.rate=0.2'
    """
    if _is_ours(record):
        change = _change(record, said)
        changed = {each.partition("=")[0] for each in change} | {"ckpt_path"}  # begin anew
        named = [(e, e.lstrip("+~").partition("=")[0]) for e in record.overrides]
        kept = [e for e, name in named if name not in changed and name.split(".")[0] not in changed]
        several = ["-m"] if any("," in each for each in change) else []
        return shlex.join(["thinned", "train", *several, *kept, *change]) if change else ""
    code = re.search(r"thinned\.\w+\((?!dropout=\.\.\.)[^)]*\)|Trainer\([^)]*\)", said.action)
    return code[0] if code else ""


def _is_ours(record: Record) -> bool:
    """Whether ``thinned train`` made the run: other projects have a `schedule` too."""
    schedule = record.config.get("schedule", "")
    if not isinstance(schedule, (Mapping, type(None))):
        return False
    if schedule and not str(schedule.get("_target_", "")).startswith("thinned."):
        return False
    if record.overrides:
        return True
    settings = flat({"callbacks": record.config.get("callbacks") or {}})
    ours = any(
        key.endswith("._target_") and str(value).startswith("thinned.")
        for key, value in settings.items()
    )
    return ours and {"data", "model"} <= record.config.keys()


def _change(record: Record, said: Verdict) -> list[str]:
    """The overrides that do what the action says, by the verdict's own numbers."""
    if said.remedy in ("train longer", "train less"):
        epochs = _epochs(said)
        return [f"trainer.max_epochs={epochs}"] if epochs else []
    rates = _rates(said)
    if not rates:
        return []
    seeds = ["seed=1,2,3,4,5"] if "," in rates else []
    settings = flat({"schedule": record.config["schedule"] or {}})
    for name in (f"schedule.{each}" for each in _RATE_NAMES):
        if _ended_at(record, settings.get(name)):
            return [f"{name}={rates}", *seeds]
    constant = [_CONSTANT, f"schedule.rate={rates}", *seeds]
    return ["callbacks=default", *constant] if _adapted(record) else constant  # one sets the rate


def _epochs(said: Verdict) -> str:
    if said.epochs is not None:
        return str(said.epochs)
    found = _EPOCHS.search(said.action)
    return found[1] if found else ""


def _rates(said: Verdict) -> str:
    """The rates, with commas between several."""
    if said.rates:
        return ",".join(f"{rate:.2g}" for rate in said.rates)
    found = _ONE_RATE.search(said.action) or _RATES.search(said.action)
    return found[1] if found else ""


def _ended_at(record: Record, setting: Any) -> bool:
    """Whether a setting of the schedule is the rate that was judged.

    A schedule that was stopped on its way, or that ends elsewhere, was judged by another rate.
    """
    if not isinstance(setting, (int, float)):
        return False
    held = record.rates_at_end.values()
    constant = str(record.config["schedule"].get("_target_")).endswith(".Constant")
    return constant or (bool(held) and abs(setting - math.fsum(held) / len(held)) < _SAME)


def _adapted(record: Record) -> bool:
    """Whether the run's rate was found while training."""
    settings = flat({"callbacks": record.config.get("callbacks") or {}})
    return any(str(value).endswith(".AdaptiveDropout") for value in settings.values())
