"""Turns checked nodes of the configuration into objects."""

import pkgutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from ._errors import ConfigError, explain
from ._targets import check_object, check_target


def build(cfg: DictConfig, key: str, **more: Any) -> Any:
    """Instantiate the node at ``key``, after its targets have been looked up and checked.

    Args:
        cfg: the job's configuration.
        key: dotted path of the node.
        more: further arguments of the node's component.

    Raises:
        ConfigError: one line with the key, where a target is refused or a constructor raises.
    """
    node = _select(cfg, key)
    allow = tuple(cfg.get("allow_targets") or ())
    for path, target in _targets(key, node):
        _look_up(path, target, allow)
    try:
        return instantiate(node, _convert_="all", **more)
    except InstantiationException as error:
        line = explain(error) or str(error)
        if isinstance(error.__cause__, ConfigError):
            raise error.__cause__ from error
        raise ConfigError(line if line.startswith("`") else f"`{key}`: {line}") from error


def build_all(cfg: DictConfig, key: str, left_out: Collection[str] = ()) -> list[Any]:
    """Instantiate every node of a mapping of nodes, in its order.

    A scheduler without a schedule (``schedule=none``) is not made: the rates stay the model's.

    Args:
        cfg: the job's configuration.
        key: dotted path of the mapping.
        left_out: targets that are not made either.
    """
    nodes: Mapping[str, Any] = cfg[key] or {}
    return [
        build(cfg, f"{key}.{name}")
        for name, node in nodes.items()
        if not _unscheduled(node) and node["_target_"] not in left_out
    ]


def _unscheduled(node: Any) -> bool:
    schedule = node.get("schedule", 0.0)
    return isinstance(schedule, Mapping) and not schedule


def _select(cfg: DictConfig, key: str) -> Any:
    node: Any = cfg
    for name in key.split("."):
        node = node[name]
    return node


def _targets(key: str, node: Any) -> Iterator[tuple[str, str]]:
    """Yield the target of the node and of every node in it, with its key."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield key, node["_target_"]
        for name in node:
            yield from _targets(f"{key}.{name}", node[name])
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for index, item in enumerate(node):
            yield from _targets(f"{key}.{index}", item)


def _look_up(key: str, target: str, allow: tuple[str, ...]) -> None:
    check_target(key, target, allow)
    try:
        found = pkgutil.resolve_name(target)
    except Exception as error:  # whatever the import of a user's module raises
        msg = f"`{key}._target_`: cannot import {target!r}: {type(error).__name__}: {error}"
        raise ConfigError(msg) from error
    check_object(key, target, found, allow)
