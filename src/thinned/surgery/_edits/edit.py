"""What a swap or insert did to a model: it can be printed, undone, and stripped from a copy."""

import itertools
import weakref
from collections.abc import Sequence

from torch import nn

from thinned._errors import NoEffectError
from thinned.surgery._find import find_sites
from thinned.surgery._sites.site_list import SiteList

from .changes import Change

_NUMBERS = itertools.count(1)
_STANDING: "weakref.WeakSet[Edit]" = weakref.WeakSet()  # for naming the edit in the way, no more


class Edit:
    """What ``swap`` or ``insert`` did to a model.

    ``len(edit)`` is the number of changes, ``str(edit)`` lists them.

    Attributes:
        already: the paths that were as asked before, or of an insert where dropout is, at whatever
            rate; nothing was done there.
        left_out: path to reason, for what could not or should not be changed.

    Example:
        >>> import torch, thinned
        >>> net = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Dropout(0.2))
        >>> plain = net[1]
        >>> edit = thinned.swap(net, {"Dropout": "alpha"}, force=True)
        >>> print(edit)
        swap: 1 change
          1: Dropout -> AlphaDropout(p=0.2)
        >>> edit.undo()
        >>> net[1] is plain
        True
    """

    def __init__(
        self,
        model: nn.Module,
        verb: str,
        changes: Sequence[Change],
        already: Sequence[str] = (),
        left_out: dict[str, str] | None = None,
    ) -> None:
        self._model, self._verb, self._changes = model, verb, tuple(changes)
        self._number = next(_NUMBERS)
        self._standing = True
        self.already = tuple(already)
        self.left_out = dict(left_out or {})
        for change in self._changes:
            change.apply()
        _STANDING.add(self)

    def __len__(self) -> int:
        return len(self._changes)

    def __repr__(self) -> str:
        state = "" if self._standing else ", undone"
        return f"<Edit {self._number}: {self._verb}, {_count(len(self), 'change')}{state}>"

    def __str__(self) -> str:
        lines = [f"{self._verb}: {_count(len(self), 'change')}"]
        lines += [f"  {change}" for change in self._changes]
        if self.already:
            inserts = self._verb == "insert"
            told = "there is dropout already, for set_rate" if inserts else "already as asked"
            lines.append(f"  {told}: {', '.join(self.already)}")
        if self.left_out:
            lines.append("  left out:")
            lines += [f"    {path}: {reason}" for path, reason in self.left_out.items()]
        return "\n".join(lines)

    @property
    def sites(self) -> SiteList:
        """The sites that this edit brought, with their rates as they are now."""
        if not self._standing:
            return SiteList(named=True)
        ours = {id(holder) for change in self._changes for holder in change.owners}
        return SiteList((s for s in find_sites(self._model) if id(s.owner) in ours), named=True)

    def undo(self) -> None:
        """Put the very same modules back.

        They get the parameters, buffers, mode and hooks that the model has now.
        Disjoint edits may be undone in any order. A second call does nothing.

        Raises:
            RuntimeError: if a later edit stands on this one; the message names it. Also if a layer
                that it put there was pruned or parametrized since, which would be lost.
        """
        if not self._standing:
            return
        self._refuse_if_covered()
        for change in reversed(self._changes):
            change.undo()
        self._standing = False
        _STANDING.discard(self)

    def strip(self, model: nn.Module) -> int:
        """Take this edit out of a *copy* of the model, such as an EMA or an unpickled one.

        The copy gets plain modules with its own parameters; the model itself is not touched.

        Args:
            model: a ``deepcopy`` of the edited model, or one that was unpickled.

        Returns:
            How many changes were taken out.

        Raises:
            ValueError: if ``model`` is the edited model itself.
            NoEffectError: if nothing of this edit is in it.
        """
        if model is self._model:
            msg = "Expected a copy of the edited model, got the model itself. Use `undo()`."
            raise ValueError(msg)
        count = sum(change.strip(model) for change in reversed(self._changes))
        if not count and self._changes:
            msg = f"Expected a copy of the edited model, got a {type(model).__name__} that holds "
            msg += f"nothing of {self!r}: it was stripped before, or copied before the edit."
            raise NoEffectError(msg)
        return count

    def _refuse_if_covered(self) -> None:
        live = set(self._model.modules())
        later = sorted(
            (edit for edit in _STANDING if edit._number > self._number), key=lambda e: -e._number
        )
        for change in self._changes:
            if altered := change.altered():
                msg = f"Cannot undo {self!r}: the layer that it put at {change.path!r} gained or "
                msg += f"lost {', '.join(altered)} since, which would be lost. Take off first what "
                msg += "pruned or parametrized it (prune.remove, remove_parametrizations)."
                raise RuntimeError(msg)
            resting = [edit for edit in later if edit._rests_on(change)]
            if not resting and not change.covered(live):
                continue
            above = resting or [edit for edit in later if edit._covers(change)]
            msg = f"Cannot undo {self!r}: at {change.path!r} "
            if above:
                msg += f"the later {above[0]!r} stands on it. Undo that one first:\n{above[0]}"
            else:
                msg += "something that is no Edit has replaced what it put there. Put that back."
            raise RuntimeError(msg)

    def _rests_on(self, earlier: Change) -> bool:
        """Say whether this edit changed something inside what the earlier change brought."""
        return any(change.touched & earlier.brought for change in self._changes)

    def _covers(self, earlier: Change) -> bool:
        """Say whether this edit took out what the earlier change had brought or written to."""
        grounds = earlier.touched | earlier.brought
        return any(change.removed & grounds for change in self._changes)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
