"""Checks a composed configuration before anything heavy is imported.

Hydra stops a mistyped override; what it lets through is stopped here: keys appended with ``+``,
values of a wrong type or out of range, a node replaced by a value, a missing value, a target
outside the allowed packages.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from thinned._checks import nearest

from ._errors import ConfigError, unknown_key
from ._fields import Field, kind_of
from ._schemas import SCHEMAS
from ._targets import check_target

Schema = Mapping[str, Field]

RESERVED = {"_target_", "_partial_", "_args_", "_convert_", "_recursive_"}
OPEN = "**"  # the key of a schema whose component takes any further argument

_ANY = Field(("mapping",), required=True)
_TEXT = Field(("string",), required=True)
_FLAG = Field(("boolean",), required=True)
_OPTIONAL = Field(("string", "null"), required=True)

# The top of conf/train.yaml.
_ROOT: Schema = {
    "name": _TEXT,
    "group": _OPTIONAL,
    "seed": Field(("integer",), low=0, high=2**32 - 1, required=True),
    "threads": Field(("integer", "null"), low=1, required=True),
    "ckpt_path": _OPTIONAL,
    "test": _FLAG,
    "pages": _FLAG,
    "objective": Field(("string", "list"), required=True),
    "allow_targets": Field(("list",), required=True),
    "data": _ANY,
    "model": _ANY,
    "optimizer": _ANY,
    "schedule": _ANY,
    "callbacks": _ANY,
    "checkpoint": Field(("mapping", "null"), required=True),
    "trainer": _ANY,
    "logger": _ANY,
}
_BY_WORD = ("best", "last", "hpc", "registry")  # alone, what Lightning finds by itself
_SCHEDULE = re.compile(r"[+~]*schedule(\.[^=]*)?(=|$)")
_SEARCH = re.compile(r"search=(?!none$)")
_ONE_NODE = ("data", "model", "optimizer", "checkpoint", "trainer")
_MANY_NODES = ("callbacks", "logger")


def check_config(cfg: DictConfig, typed: Sequence[str] = ()) -> dict[str, Any]:
    """Return the configuration as plain, resolved values, if it can run.

    Args:
        cfg: what Hydra composed for the job.
        typed: the overrides of the job; what was typed and has no effect is refused.

    Raises:
        ConfigError: one line with the key, the value, what is allowed, and the nearest name.
    """
    plain = cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=True))
    _check_missing(plain)
    _check_fields("", plain, _ROOT)
    _check_checkpoint(plain["ckpt_path"])
    _check_objective(plain["objective"])
    for key in _ONE_NODE:
        if plain[key] is not None:
            _check_is_node(key, plain[key])
    for key in _MANY_NODES:
        for name, node in plain[key].items():
            _check_is_node(f"{key}.{name}", node)
    for key, node in _nodes("", plain):
        _check_node(_Node(key, node, tuple(plain["allow_targets"])))
    _check_schedule("schedule", plain["schedule"])
    _check_own_rate(plain)
    _check_schedule_is_used(plain, typed)
    return plain


def check_single(typed: Sequence[str]) -> None:
    """Refuse a search that was asked for without ``-m``: a single run searches nothing.

    Raises:
        ConfigError: with the word to add.
    """
    for word in filter(_SEARCH.match, typed):
        msg = f"`{word}` has no effect in a single run. Add -m: thinned train -m {word}."
        raise ConfigError(msg)


def _check_checkpoint(path: str | None) -> None:
    by_word = path in _BY_WORD or str(path).startswith("registry:")
    if path is None or by_word or "://" in path or Path(path).exists():
        return
    msg = f"Expected `ckpt_path` to be a checkpoint, found none at {path!r}. The job's are in "
    raise ConfigError(f"{msg}runs/.../checkpoints, last.ckpt and best.ckpt.")


def _check_objective(keys: str | list[Any]) -> None:
    if not keys or not all(isinstance(key, str) for key in keys):
        msg = f"Expected `objective` to be a logged key or a list of some, got {keys!r}."
        raise ConfigError(msg)


@dataclass(frozen=True)
class _Node:
    key: str
    content: Mapping[str, Any]
    allow: tuple[str, ...]


def _check_missing(plain: Any, key: str = "") -> None:
    for path, value in _items(key, plain):
        if value == "???":
            msg = f"Missing value: `{path}`. Write {path}=... on the command line."
            raise ConfigError(msg)
        _check_missing(value, path)


def _check_is_node(key: str, value: Any) -> None:
    if not (isinstance(value, Mapping) and "_target_" in value):
        inside = f"{key}.schedule={value}" if key == "callbacks.dropout" else f"{key}.KEY=VALUE"
        msg = (
            f"Expected `{key}` to be a node with `_target_`, got {value!r}. "
            f"To change a value in it: {inside}."
        )
        raise ConfigError(msg)


def _check_node(node: _Node) -> None:
    target = check_target(node.key, node.content["_target_"], node.allow)
    schema = SCHEMAS.get(target)
    if schema is not None:
        _check_fields(node.key, node.content, schema)
    elif target.startswith(("thinned.schedules.", "thinned.callbacks.")):
        room = target.rpartition(".")[0]
        known = [name for name in SCHEMAS if name.startswith(room)]
        msg = f"Expected `{node.key}._target_` to be one of {', '.join(known)}, got {target!r}."
        raise ConfigError(msg + nearest(target, known))


def _check_fields(key: str, content: Mapping[str, Any], schema: Schema) -> None:
    partial = bool(content.get("_partial_"))
    for name, value in content.items():
        if name in RESERVED:
            continue
        path = f"{key}.{name}" if key else str(name)
        field = schema.get(name)
        if field is None and OPEN not in schema:
            raise ConfigError(unknown_key(path, name, schema))
        problem = field.problem(value) if field is not None else None
        if problem is not None:
            msg = f"Expected `{path}` to be {problem}, got {value!r}."
            choices = field.choices if field is not None else ()
            raise ConfigError(msg + nearest(value, choices))
    for name, field in schema.items():
        if field.required and not partial and name not in content:
            path = f"{key}.{name}" if key else name
            msg = f"Missing value: `{path}`. It has to be {field.expected()}."
            raise ConfigError(msg)


def _check_schedule(key: str, value: Any) -> None:
    """Try the schedule: it is pure Python, and knows what no single field tells."""
    from thinned.schedules import as_schedule

    if value in ({}, None):
        return
    if isinstance(value, Mapping) and "_target_" not in value:
        for pattern, item in value.items():
            _check_schedule(f"{key}.{pattern}", item)
        return
    if isinstance(value, Mapping) and not str(value["_target_"]).startswith("thinned.schedules."):
        return
    try:
        as_schedule(_make(value))
    except (TypeError, ValueError) as error:
        msg = f"`{key}`: {error}"
        raise ConfigError(msg) from error


def _check_own_rate(plain: Mapping[str, Any]) -> None:
    """Refuse a rate of the model that a scheduler would overwrite before the first step."""
    rate, schedule = plain["model"].get("dropout"), plain["schedule"]
    over_all = any(
        node["_target_"] == "thinned.callbacks.DropoutScheduler"
        and node.get("include", "*") == "*"
        and not node.get("exclude")
        for node in plain["callbacks"].values()
    )
    if rate and over_all and "_target_" in schedule:
        msg = (
            f"`model.dropout={rate}` has no effect: the schedule sets the rate of every site. "
            f"Write schedule=none to keep it, or schedule=constant schedule.rate={rate}."
        )
        raise ConfigError(msg)


def _check_schedule_is_used(plain: Mapping[str, Any], typed: Sequence[str]) -> None:
    """Refuse a schedule that was asked for where no callback takes one."""
    words = [word for word in typed if _SCHEDULE.match(word)]
    taken = any("schedule" in node for node in plain["callbacks"].values())
    if words and plain["schedule"] and not taken:
        msg = (
            f"`{words[0]}` has no effect: no callback takes the schedule. Write schedule=none, or "
            "callbacks=default, or callbacks=[dropout,...]."
        )
        raise ConfigError(msg)


def _make(value: Any) -> Any:
    """Build a schedule from plain values, and those that it is made of."""
    import thinned.schedules

    if isinstance(value, list):
        return [_make(item) for item in value]
    if not (isinstance(value, Mapping) and "_target_" in value):
        return value
    cls = getattr(thinned.schedules, value["_target_"].rpartition(".")[2])
    return cls(**{name: _make(item) for name, item in value.items() if name not in RESERVED})


def _nodes(key: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every node with a target, outer ones first."""
    if isinstance(value, Mapping) and "_target_" in value:
        yield key, value
    for path, item in _items(key, value):
        yield from _nodes(path, item)


def _items(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if kind_of(value) == "mapping":
        pairs = value.items()
    elif kind_of(value) == "list":
        pairs = enumerate(value)
    else:
        return
    for name, item in pairs:
        yield (f"{key}.{name}" if key else str(name)), item
