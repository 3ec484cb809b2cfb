"""Exchange layers whose rate is burnt into compiled code for twins whose rate is not."""

from collections.abc import Iterable

from torch import nn

from thinned.layers import RateLayer
from thinned.surgery._edits.changes import Exchanged
from thinned.surgery._edits.edit import Edit
from thinned.surgery._find import find_sites
from thinned.surgery._models.compiled import burnt_in
from thinned.surgery._models.patterns import EVERYTHING
from thinned.surgery._models.places import Place, places
from thinned.surgery._sites.site import PLACEHOLDER, Site

from .twins import twin_of


class _Twinned(Exchanged):
    """A layer exchanged for its twin; when it comes back it holds the rate that the twin had."""

    def __init__(self, place: Place, site: Site, twin: RateLayer) -> None:
        super().__init__(place.path, place.slots, site.owner, twin)
        self._attribute, self._twin = site.attribute, twin

    def undo(self) -> None:
        """Put the layer back."""
        super().undo()
        setattr(self.old, self._attribute, self._twin.p)


def compile_safe(
    model: nn.Module,
    include: str | Iterable[str] = EVERYTHING,
    exclude: str | Iterable[str] = (),
    *,
    compiled_only: bool = False,
) -> Edit:
    """Exchange layers that hold their rate as a float for twins that cost compiled code nothing.

    ``torch.compile`` burns a Python float into its graph: each new rate of an ``nn.Dropout``
    compiles anew, and after eight the model silently runs eagerly. A twin has the same distribution
    (eagerly the same random stream for torch's own layers), stands at the same name, and holds no
    key in the ``state_dict``. It works before compiling and after; a model that has already run
    compiles once more.

    Exchanged are torch's dropout layers, any library's drop path, and torchvision's DropBlock. What
    cannot be exchanged (rates of recurrent layers, attention and configs, plain floats, and dropout
    modules whose rate a parent reads) is in ``left_out``; there a rate moves in few levels while
    the model is compiled.

    Args:
        model: the model; it may be compiled already, and wrapped.
        include: globs on dotted paths, such as ``"backbone.*"``.
        exclude: globs of what to leave out.
        compiled_only: only in the parts of the model that are compiled.

    Returns:
        The edit: print it, or ``undo()`` it, which leaves the rates as they are then. It may be
        empty.

    Example:
        >>> import torch, thinned
        >>> net = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Dropout(0.2))
        >>> print(thinned.surgery.compile_safe(net))
        compile_safe: 1 change
          1: Dropout -> Dropout(p=0.2, inplace=False)
    """
    stands = {id(place.module): place for place in places(model)}
    changes: dict[int, _Twinned] = {}
    left_out: dict[str, str] = {}
    for site in find_sites(model, include, exclude):
        owner = site.owner
        if site.kind == PLACEHOLDER or not burnt_in(owner) or site.live is False:
            continue
        if compiled_only and site.levels is None:
            continue
        place = stands.get(id(owner))
        if site.read_by:
            left_out[site.path] = f"its rate is read by {site.read_by[0] or 'the model'}"
        elif place is None or (twin := twin_of(owner)) is None:
            left_out[site.path] = f"no twin for the {site.attribute!r} of {site.cls}"
        else:
            changes[id(owner)] = _Twinned(place, site, twin)
    return Edit(model, "compile_safe", list(changes.values()), left_out=left_out)
