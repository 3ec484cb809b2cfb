"""Keeps out of records, pages and logs what nobody else is to read."""

from collections.abc import Iterable, Mapping
from typing import Any

_NAMES: tuple[str, ...] = ("key", "token", "password", "secret", "credential")
_NAMES += ("api_keys", "passwords", "secrets", "credentials")


def without_secrets(value: Any) -> Any:
    """Hide what a page must not show: values under names such as ``api_key``.

    Example:
        >>> without_secrets({"wandb": {"api_key": "123", "project": "p"}, "key": 1})
        {'wandb': {'api_key': '(hidden)', 'project': 'p'}, 'key': 1}
    """
    if isinstance(value, Mapping):
        return {
            name: "(hidden)" if _is_secret(str(name), each) else without_secrets(each)
            for name, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [without_secrets(each) for each in value]
    return value


def overrides_without_secrets(overrides: Iterable[str]) -> list[str]:
    """Hide the same in what was typed on the command line.

    Example:
        >>> overrides_without_secrets(["seed=1", "+logger.wandb.api_key=123"])
        ['seed=1', '+logger.wandb.api_key=(hidden)']
    """
    parts = [each.partition("=") for each in overrides]
    return [f"{k}{e}{'(hidden)' if v and _is_secret(k, v) else v}" for k, e, v in parts]


def _is_secret(name: str, value: Any) -> bool:
    return isinstance(value, (str, list, tuple)) and name.lower().endswith(_NAMES)
