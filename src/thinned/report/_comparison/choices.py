"""Which choices set the runs of a sweep apart: what the arms of a comparison are."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from thinned._checks import nearest
from thinned.report._records.record import Record

# What differs between the runs of any sweep and says nothing of the model.
_INCIDENTAL = re.compile(
    r"(^|[._])(seed|name|id|version|tags|notes|group|job_num|\w*dir|\w*dirpath|\w*path)$"
    r"|^(hydra|logger|wandb)(\.|$)|^trainer\.(devices|accelerator|enable_\w+|logger)"
)

_LONG = re.compile(r"\A-?\d*\.\d{7,}(e-?\d+)?\Z")  # what samplers write: 0.3745401188473625


def choices(records: Sequence[Record], by: Sequence[str] = ()) -> list[dict[str, str]]:
    """Name, for each run, the settings in which the runs differ.

    Hydra's overrides are what the user typed, and so come first; without any the whole
    configurations are compared. Seeds, names and folders never count.

    Args:
        records: the runs.
        by: the settings to use instead (``("schedule",)``); dotted names of the configuration.

    Raises:
        ValueError: if no run has one of the settings in ``by``.

    Example:
        >>> from pathlib import Path
        >>> typed = [["schedule=none", "seed=1"], ["schedule=cosine", "seed=1"]]
        >>> choices([Record(Path("a"), overrides=each) for each in typed])
        [{'schedule': 'none'}, {'schedule': 'cosine'}]
    """
    typed = [_parse(record.overrides) for record in records]
    whole = [flat(record.config) for record in records]
    if by:
        both = [{**w, **t} for t, w in zip(typed, whole, strict=True)]
        for key in by:
            _check_setting(key, both)
        return _readable(by, both)
    settings = typed if any(typed) else whole
    return _readable(_varying(settings), settings)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a nested configuration to dotted names.

    Example:
        >>> flat({"schedule": {"start": 0.0, "end": 0.3}, "seed": 1})
        {'schedule.start': 0.0, 'schedule.end': 0.3, 'seed': 1}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found


def label(choice: Mapping[str, str]) -> str:
    """Write a choice as it is typed."""
    return " ".join(f"{key}={value}" for key, value in choice.items()) or "all runs"


def number(choice: Mapping[str, str]) -> float | None:
    """The rate or other number that an arm is about, where it is about one.

    Example:
        >>> number({"schedule.rate": "0.3"}), number({"schedule": "none"}), number({"a": "b"})
        (0.3, 0.0, None)
    """
    if len(choice) != 1:
        return None
    value = next(iter(choice.values()))
    if value.lower() in NOTHING:
        return 0.0
    try:
        return float(value)
    except ValueError:
        return None


NOTHING = ("none", "null", "0", "0.0", "false")


def _check_setting(key: str, settings: Sequence[Mapping[str, Any]]) -> None:
    known = {each: None for setting in settings for each in setting}
    if key in known:
        return
    typed = ", ".join(repr(each) for each in _varying(settings))
    msg = (
        f"Expected `by` to be settings of the runs, got {key!r}, which none has."
        f"{nearest(key, known)} The runs differ in: {typed or 'nothing but seeds and names'}."
    )
    raise ValueError(msg)


def _readable(keys: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The settings as text; the 16 digits of a sampled rate as few as keep the arms apart."""
    columns = {key: [str(each.get(key, "default")) for each in settings] for key in keys}
    columns = {key: _rounded(column) for key, column in columns.items()}
    return [{key: columns[key][i] for key in keys} for i in range(len(settings))]


def _rounded(column: list[str]) -> list[str]:
    for digits in (4, 6, 8):
        found = [_round(text, digits) for text in column]
        if len(set(found)) == len(set(column)):
            return found
    return column


def _round(text: str, digits: int) -> str:
    return f"{float(text):.{digits}g}" if _LONG.match(text) else text


def _parse(overrides: Sequence[str]) -> dict[str, str]:
    parts = (each.lstrip("+~").partition("=") for each in overrides)
    return {key: value.strip("'\"") for key, _, value in parts}


def _varying(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for each in settings for key in each if not _INCIDENTAL.search(key))
    kept: dict[tuple[str, ...], str] = {}
    for key in keys:
        column = tuple(str(each.get(key, "default")) for each in settings)
        if len(set(column)) < 2:
            continue
        if column not in kept or len(key) < len(kept[column]):  # an interpolation repeats it
            kept[column] = key
    return sorted(kept.values(), key=list(keys).index)
