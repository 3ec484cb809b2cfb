"""A report is never worth a run."""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from thinned._errors import ThinnedWarning

Hook = TypeVar("Hook", bound=Callable[..., None])


def never_kills(hook: Hook) -> Hook:
    """Turn what a reporting callback's hook raises into one warning, after which it is silent.

    The callback has an attribute ``broken``, and in ``reports_to`` the name of what failed.
    """

    @wraps(hook)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> None:
        if self.broken:
            return
        try:
            hook(self, *args, **kwargs)
        except ThinnedWarning:  # ours, where warnings are errors
            raise
        except Exception as error:
            self.broken = True
            msg = f"{self.reports_to} failed ({error!r}); training goes on without it."
            warnings.warn(msg, ThinnedWarning, stacklevel=2)

    return cast("Hook", guarded)
