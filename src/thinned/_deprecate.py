"""How a public name goes: it warns from one version on, and is gone in another."""

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from thinned._errors import ThinnedWarning

P = ParamSpec("P")
T = TypeVar("T")


class ThinnedFutureWarning(ThinnedWarning, FutureWarning):
    """Something of ours will be removed; the message says when, and what to write instead."""


def warn_deprecated(
    what: str, *, since: str, removal: str, instead: str, stacklevel: int = 3
) -> None:
    """Warn that something is deprecated: an argument, a value, an attribute.

    Write ``since`` and ``removal`` as literals: a test reads them off the sources, and fails once
    the package has the version of the removal and the name is still there.

    Args:
        what: what it is called, as a user writes it.
        since: the version in which it was deprecated, such as ``"0.2.0"``.
        removal: the version that will not have it any more, at least one minor version later.
        instead: what to write instead.
        stacklevel: of the warning; the default points at who called the caller of this.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True, action="always") as caught:
        ...     warn_deprecated("`keep_prob`", since="0.2.0", removal="0.4.0", instead="`p`")
        >>> print(caught[0].message)
        `keep_prob` is deprecated since thinned 0.2.0 and will be removed in 0.4.0: use `p`.
    """
    warnings.warn(
        f"{what} is deprecated since thinned {since} and will be removed in {removal}: "
        f"use {instead}.",
        ThinnedFutureWarning,
        stacklevel=stacklevel,
    )


def deprecated(
    *, since: str, removal: str, instead: str
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function or a method that will be removed; each call warns.

    Args:
        since: the version in which it was deprecated.
        removal: the version that will not have it any more.
        instead: what to write instead.

    Example:
        >>> import warnings
        >>> @deprecated(since="0.2.0", removal="0.4.0", instead="`thinned.set_rate`")
        ... def set_dropout(model, rate):
        ...     return rate
        >>> with warnings.catch_warnings(record=True, action="always") as caught:
        ...     set_dropout(None, 0.1)
        0.1
        >>> caught[0].category.__name__
        'ThinnedFutureWarning'
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            what = f"`{function.__qualname__}`"
            warn_deprecated(what, since=since, removal=removal, instead=instead)
            return function(*args, **kwargs)

        return wrapper

    return decorate
