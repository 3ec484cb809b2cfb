"""Which paths a glob names: the one meaning of `include` and `exclude` everywhere."""

import fnmatch
import functools
import re
from collections.abc import Collection, Iterable
from typing import Any

from thinned._checks import shown

WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
EVERYTHING = "*"


def as_patterns(patterns: str | Iterable[str], name: str = "include") -> tuple[str, ...]:
    """Return one pattern or many as a tuple.

    Args:
        patterns: a glob, or an iterable of globs.
        name: the argument's name, for the message.

    Raises:
        TypeError: if something else than strings was given.
        ValueError: if a pattern is empty, or there is none; ``exclude`` may have none.
    """
    if isinstance(patterns, str):
        found: tuple[Any, ...] = (patterns,)
    else:
        found = tuple(patterns) if isinstance(patterns, Iterable) else (None,)
    if not all(isinstance(pattern, str) for pattern in found):
        msg = f"Expected `{name}` to be a glob or a list of globs, got {shown(patterns)}."
        raise TypeError(msg)
    if not found and name != "exclude":
        msg = f"Expected `{name}` to hold a pattern, got {shown(patterns)}. All is '*'."
        raise ValueError(msg)
    for pattern in found:
        if not split_name(pattern)[1].strip():
            msg = f"Expected `{name}` to hold no empty pattern, got {pattern!r}. All is '*'."
            raise ValueError(msg)
    return found


def matches(pattern: str, path: str, skip: Collection[str] = WRAPPERS) -> bool:
    """Say whether a glob names a path.

    A pattern names a whole subtree, begins at any dot, and its ``*`` crosses dots. A dot also
    stands for the colon before an attribute.

    Args:
        pattern: a glob (``*``, ``?``, ``[abc]``) on dotted paths.
        path: the dotted path of a module, or of a site (``lstm:dropout``).
        skip: names of wrappers, which a pattern may hold although the path does not.

    Example:
        >>> matches("head", "model.head.0"), matches("head", "model.overhead.0")
        (True, False)
        >>> matches("encoder.*.drop", "model.encoder.layers.0.drop")
        True
        >>> matches("lstm.*", "lstm:dropout"), matches("head.*", "head")
        (True, False)
        >>> matches("module.head", "head"), matches("module.head", "head", skip=())
        (True, False)
    """
    return any(_regex(p).fullmatch(path) for p in {pattern, _without(pattern, skip) or pattern})


def _without(pattern: str, skip: Collection[str]) -> str:
    module, colon, attribute = pattern.partition(":")
    return ".".join(name for name in module.split(".") if name not in skip) + colon + attribute


@functools.lru_cache(maxsize=4096)
def _regex(pattern: str) -> re.Pattern[str]:
    glob = fnmatch.translate(pattern)
    body = glob.removeprefix("(?s:").removesuffix(r")\Z").replace(r"\.", "[.:]")
    return re.compile(rf"(?s:(?:.*[.:])?{body}(?:[.:].*)?)")


def any_matches(
    patterns: Iterable[str], paths: Iterable[str], skip: Collection[str] = WRAPPERS
) -> bool:
    """Say whether one of the patterns names one of the paths."""
    paths = tuple(paths)
    return any(matches(pattern, path, skip) for pattern in patterns for path in paths)


def split_name(key: str) -> tuple[str | None, str]:
    """Split ``"name=pattern"`` into name and pattern; a bare pattern has no name.

    Example:
        >>> split_name("early=backbone.0.*"), split_name("head.*")
        (('early', 'backbone.0.*'), (None, 'head.*'))
    """
    name, equals, pattern = key.partition("=")
    return (name.strip(), pattern.strip()) if equals else (None, key)


def group_name(pattern: str, taken: Collection[str] = ()) -> str:
    """Return the name under which a pattern's group is logged.

    It is the pattern without ``*`` and edge dots, ``all`` for ``*``; W&B refuses a glob that is
    not a suffix. A key ``"name=pattern"`` chooses the name.

    Args:
        pattern: the pattern, or ``"name=pattern"``.
        taken: names already given; a number is put behind one that is taken.

    Example:
        >>> group_name("*"), group_name("backbone.*"), group_name("*.layers.*.drop")
        ('all', 'backbone', 'layers.drop')
        >>> group_name("head.*", taken=["head"]), group_name("deep=layer4.*")
        ('head_2', 'deep')
    """
    name, glob = split_name(pattern)
    if not name:
        name = re.sub(r"[*?\[\]!]", "", glob).replace(":", ".").replace("/", ".")
        name = re.sub(r"\.{2,}", ".", name).strip(". ") or "all"
    unique, count = name, 1
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    return unique
