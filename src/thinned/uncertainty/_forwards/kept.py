"""What was found out about a model, kept while the model lives."""

import weakref
from collections import OrderedDict
from typing import Any, Generic, TypeVar

from torch import nn

T = TypeVar("T")

MOST = 64  # findings a model: a batch of another size, another rate or other sites are another


class Kept(Generic[T]):
    """The latest findings about each model; those that were not asked for the longest go first.

    A finding must hold no model and no module of one, or it would keep its own key alive.
    """

    def __init__(self) -> None:
        self._of: weakref.WeakKeyDictionary[nn.Module, OrderedDict[Any, T]] = (
            weakref.WeakKeyDictionary()
        )

    def __contains__(self, about: tuple[nn.Module, Any]) -> bool:
        model, key = about
        return key in self._of.get(model, ())

    def get(self, model: nn.Module, key: Any) -> T | None:
        """Return what is kept under a key, None where nothing is."""
        found = self._of.get(model)
        if found is None or key not in found:
            return None
        found.move_to_end(key)
        return found[key]

    def put(self, model: nn.Module, key: Any, finding: T) -> T:
        """Keep a finding, and return it."""
        found = self._of.setdefault(model, OrderedDict())
        found[key] = finding
        found.move_to_end(key)
        if len(found) > MOST:
            found.popitem(last=False)
        return finding
