"""A guard around ``_target_``: which packages a configuration may call into.

A guard against surprises and typing errors, not a sandbox: what a listed package does when it is
called is that package's affair, and whoever writes the configuration can extend the list.
"""

from collections.abc import Iterable
from typing import Any

from ._errors import ConfigError

# `torch.` as a whole would allow torch.load and torch.hub.load.
ALLOWED = (
    "thinned",
    "pytorch_lightning",
    "lightning",
    "torchmetrics",
    "torch.nn",
    "torch.optim",
)


def check_target(key: str, target: Any, allow: Iterable[str] = ()) -> str:
    """Return ``target`` if it names something below an allowed package; nothing is imported.

    Args:
        key: where it stands in the configuration, for the message.
        target: the value of ``_target_``.
        allow: packages allowed besides :data:`ALLOWED`.

    Raises:
        ConfigError: if it is no dotted name or lies elsewhere.

    Example:
        >>> check_target("schedule", "thinned.schedules.Linear")
        'thinned.schedules.Linear'
        >>> check_target("schedule", "os.system")
        Traceback (most recent call last):
        ...
        thinned.app._errors.ConfigError: Expected `schedule._target_` to lie in thinned, ..., got
        'os.system'. To allow its package: allow_targets=[os].
    """
    packages = (*ALLOWED, *allow)
    if not isinstance(target, str) or not target.replace(".", "_").isidentifier():
        msg = f"Expected `{key}._target_` to be a dotted name, got {target!r}."
        raise ConfigError(msg)
    if not _below(target, packages):
        raise ConfigError(_refusal(key, target, packages))
    return target


def check_object(key: str, target: str, found: Any, allow: Iterable[str] = ()) -> None:
    """Check where the object that a target named was really defined.

    A name like ``thinned.app.os.system`` begins with an allowed package, and is another's function.

    Raises:
        ConfigError: if it was defined elsewhere.
    """
    packages = (*ALLOWED, *allow)
    module = getattr(found, "__module__", None)
    if not callable(found) or not isinstance(module, str) or not _below(module, packages):
        raise ConfigError(_refusal(key, f"{target} (of {module})", packages))


def _below(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _refusal(key: str, target: str, packages: Iterable[str]) -> str:
    root = target.split(".", maxsplit=1)[0]
    return (
        f"Expected `{key}._target_` to lie in {', '.join(packages)}, got {target!r}. "
        f"To allow its package: allow_targets=[{root}]."
    )
