"""What is wrong with a configuration, in one line."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from thinned._checks import nearest

from ._conf import groups


class ConfigError(ValueError):
    """A configuration that cannot run; the message has key, value, what is allowed, the fix."""


def explain(error: BaseException, words: Iterable[str] = ()) -> str | None:
    """Return one line for an error of configuration, or None where the error is another's.

    Args:
        error: what was raised while the configuration was composed, checked or built.
        words: what was typed.
    """
    from hydra.errors import (
        ConfigCompositionException,
        HydraException,
        InstantiationException,
        MissingConfigException,
        OverrideParseException,
    )
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, ConfigError):
        return one_line(str(error))
    if isinstance(error, InstantiationException):
        return _instantiation(error)
    if isinstance(error, MissingConfigException):
        return _missing(error)
    if isinstance(error, OverrideParseException):
        return (
            f"Expected an override as key=value, got {error.override!r}. The whole of it is quoted "
            "where it has spaces or braces; keys in braces are not."
        )
    if isinstance(error, ConfigCompositionException):
        return _composition(error, words)
    if isinstance(error, OmegaConfBaseException):
        return _omegaconf(error)
    return one_line(str(error)) if isinstance(error, HydraException) else None


def check_choices(words: Iterable[str], groups: Mapping[str, Sequence[str]]) -> None:
    """Refuse numbers, mappings and null for a group: Hydra would end with a traceback.

    Args:
        words: what was typed.
        groups: each group with its options.

    Raises:
        ConfigError: with the options, and what sets a rate.

    Example:
        >>> check_choices(["schedule=0.3"], {"schedule": ["constant", "none"]})
        Traceback (most recent call last):
        ...
        thinned.app._errors.ConfigError: Expected `schedule` to be one of constant, none, got 0.3.
        To set rates: schedule=constant schedule.rate=0.3.
    """
    for word in words:
        group, _, choice = word.partition("=")
        if group in groups and _NO_NAME.match(choice):
            rate = f"schedule=constant schedule.rate={choice}"
            if choice.startswith("{"):  # whose keys take no quotes
                rate = "'callbacks.dropout.schedule=" + re.sub("[\"']", "", choice) + "'"
            hint = f" To set rates: {rate}." if group == "schedule" else ""
            if "none" in groups[group] and choice.lower() in ("null", "false"):
                hint = f" Nothing is {group}=none."
            listed = ", ".join(groups[group])
            msg = f"Expected `{group}` to be one of {listed}, got {choice}.{hint}"
            raise ConfigError(msg)


_NO_NAME = re.compile(r"[-+.\d{]|(null|true|false)$", re.IGNORECASE)  # no option's name begins so


def one_line(text: str) -> str:
    r"""Return a message in one line; lines that are indented are items, parted by semicolons.

    Example:
        >>> one_line("Expected a, got:\n  b: this\n  c: that\nLeave them out.")
        'Expected a, got: b: this; c: that; Leave them out.'
    """
    joined, after_item = "", False
    for line in filter(str.strip, text.splitlines()):
        item = line.startswith(" ")
        ends = not joined or joined.endswith((":", ".", ",", ";"))
        joined += ("; " if (item or after_item) and not ends else " ") + " ".join(line.split())
        after_item = item
    return joined.strip()


def _missing(error: Any) -> str:
    """Say which options a group has."""
    path = str(error.missing_cfg_file)
    group, _, option = path.rpartition("/")
    # Of one name in a list, logger=[wandb,cvs], Hydra does not say which there are.
    options = groups().get(group) if error.options is None else error.options
    if not group or options is None:
        return one_line(str(error).split("\n", maxsplit=1)[0])
    hint = nearest(option, options)
    if group in {"hydra/launcher", "hydra/sweeper"}:
        hint += " Launchers and sweepers come with: pip install 'thinned[sweep]'."
    listed = ", ".join(sorted(options))
    return f"Expected `{group}` to be one of {listed}, got {option!r}.{hint}"


def _composition(error: Any, words: Iterable[str]) -> str:
    """Say which key is unknown, or what Hydra says and why."""
    cause = error.__cause__
    text = str(error)
    if text.startswith("Could not override") and hasattr(cause, "parent_node"):
        known = [str(item) for item in _keys(cause.parent_node)]
        path = text.split("'")[1]
        more = f" To add it: +{path}=..." if path.startswith("hydra.") else _swept(path, words)
        # The part that is unknown: of `scheduel.end` it is `scheduel`.
        return unknown_key(str(cause.full_key or path), str(cause.key), known) + more
    if "Ambiguous value" in text or "requires --multirun" in text:
        override = text.split("'")[1]
        return f"Several values in {override}: add -m to run each, or write [...] for a list."
    said = [line.strip() for line in text.splitlines() if line.strip()]
    said = said[: 2 if said and said[0].endswith(":") else 1]
    if cause is not None:
        said.append(str(cause).split("\n", maxsplit=1)[0])
    return one_line(" ".join(said))


def _swept(path: str, words: Iterable[str]) -> str:
    """Say what to do where a key is given to a group that is itself swept."""
    group, _, key = path.partition(".")
    choice = next((word for word in words if word.startswith(f"{group}=")), "")
    if not key or "," not in choice or "[" in choice:
        return ""
    one = "schedule=constant schedule.rate=0,0.3" if group == "schedule" else f"{path}=A,B"
    return (
        f" `{group}` is swept here: each of its choices has to have the key, and the default too, "
        f"which Hydra composes first. Sweep the key of one choice ({one}), or give each choice a "
        "command of its own and compare their folders."
    )


def unknown_key(path: str, key: str, known: Iterable[str]) -> str:
    """Say that there is no such key, which one is near, and which there are."""
    parent = path.rpartition(".")[0]
    names = sorted(known)
    where = f"`{parent}` has" if parent else "At the top there are"
    return f"Unknown key `{path}`.{nearest(key, names)} {where} {', '.join(names) or 'no keys'}."


def _keys(node: Any) -> Iterable[Any]:
    from omegaconf import DictConfig

    hidden = {"hydra", "_target_", "_partial_", "_convert_"}
    return [key for key in node if key not in hidden] if isinstance(node, DictConfig) else []


def _omegaconf(error: Any) -> str:
    text = one_line(str(error).split("\n", maxsplit=1)[0])
    return f"`{error.full_key}`: {text}" if error.full_key else text


def _instantiation(error: Any) -> str:
    """Say what the constructor said, and under which key."""
    key = next(
        (
            line.split(":", maxsplit=1)[1].strip()
            for line in str(error).splitlines()
            if line.startswith("full_key:")
        ),
        "",
    )
    cause = error.__cause__
    text = one_line(str(cause if cause is not None else error).split("full_key:")[0])
    return f"`{key}`: {text}" if key else text
