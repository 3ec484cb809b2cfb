"""What to type after a run, to do what its verdict says."""

import re
import shlex
from collections.abc import Mapping

from thinned.metrics._verdict import Verdict
from thinned.metrics._verdict_words import STEP
from thinned.report._choices import flat
from thinned.report._course import Course
from thinned.report._format import short
from thinned.report._record import Record

_CONSTANT = "schedule=constant"
_RATE_NAMES = ("rate", "end", "high", "start")


def command(record: Record, said: Verdict, went: Course) -> str:
    """What to copy: the overrides for the Hydra application, else the code the action names.

    Example:
        >>> from pathlib import Path
        >>> config = {"schedule": {"_target_": "thinned.schedules.Constant", "rate": 0.1}}
        >>> record = Record(Path("r"), config=config, overrides=["seed=1"])
        >>> said = Verdict("overfitting", 0.9, (), "", remedy="raise the rate")
        >>> command(record, said, Course("val_loss", "min", 0.4, 7, 0.5, 20))
        'thinned train seed=1 schedule.rate=0.3'
    """
    if _is_ours(record):
        change = _change(record, said, went)
        changed = {each.partition("=")[0] for each in change}
        named = [(e, e.lstrip("+~").partition("=")[0]) for e in record.overrides]
        kept = [e for e, name in named if name not in changed and name.split(".")[0] not in changed]
        several = ["-m"] if any("," in each for each in change) else []
        return shlex.join(["thinned", "train", *several, *kept, *change]) if change else ""
    code = re.search(r"thinned\.\w+\([^)]*\)|Trainer\([^)]*\)", said.action)
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


def _change(record: Record, said: Verdict, went: Course) -> list[str]:
    """The overrides that do what the verdict says."""
    if said.remedy == "train longer":
        return [f"trainer.max_epochs={2 * (int(went.last_epoch) + 1)}"]
    if said.remedy == "train less":
        return [f"trainer.max_epochs={int(went.best_epoch) + 1}"]
    settings = flat({"schedule": record.config["schedule"] or {}})
    names = [f"schedule.{name}" for name in _RATE_NAMES]
    name = next((n for n in names if isinstance(settings.get(n), (int, float))), None)
    adapted = _adapted(record)
    now = float(settings[name]) if name else adapted or 0.0
    higher, lower = min(0.9, now + STEP), max(0.0, now - STEP)
    if said.remedy == "raise the rate":
        wanted = [higher]
    elif said.remedy == "lower the rate" and (name or adapted):
        wanted = [lower]
    elif not said.remedy and said.confidence:  # between two verdicts only a comparison decides
        wanted = sorted({lower, now, higher})
    else:
        return []
    rates = ",".join(short(rate, 3) for rate in wanted)
    seeds = ["seed=1,2,3,4,5"] if len(wanted) > 1 else []
    if name:
        return [f"{name}={rates}", *seeds]
    constant = [_CONSTANT, f"schedule.rate={rates}", *seeds]
    return constant if adapted is None else ["callbacks=default", *constant]  # one sets the rate


def _adapted(record: Record) -> float | None:
    """The last rate, rounded, of a run whose rate was found while training."""
    settings = flat({"callbacks": record.config.get("callbacks") or {}})
    found = any(str(value).endswith(".AdaptiveDropout") for value in settings.values())
    held = record.rates_held()
    if not found or not held:
        return None
    return round(sum(held[-1].values()) / len(held[-1]), 2)
