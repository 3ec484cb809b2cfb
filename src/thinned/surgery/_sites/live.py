"""Is a site live: does a forward really follow its rate? Shown by running it, never guessed."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy

from thinned.surgery._models.paths import walk
from thinned.surgery._models.sources import line_of
from thinned.surgery._running.run_example import Arguments, as_arguments, does_not_run
from thinned.surgery._running.state import untouched
from thinned.surgery._running.trace import Draw, Trace, trace

from .functional import OutOfReach
from .site import PLACEHOLDER, Site

_TRIED = (0.97, 0.5)  # high first: a layer drop draws the same numbers whatever its rate
NOT_FOLLOWED = "this forward does not follow it"


@dataclasses.dataclass(frozen=True)
class LiveCheck:
    """What one check has shown.

    Attributes:
        sites: the sites, with ``live`` and ``note`` filled in.
        out_of_reach: dropout that still happened with all of them at rate 0.
    """

    sites: tuple[Site, ...]
    out_of_reach: tuple[OutOfReach, ...]


def check_live(model: nn.Module, sites: Sequence[Site], example_input: Any) -> LiveCheck:
    """Set each site apart, run, and see whether what the forward draws or returns follows.

    First all sites get rates that no two share, and one forward shows which of them reach a random
    call. Those that were not seen there (a rate may be compared with a uniform number, or be turned
    into another number) are then raised alone, all others at 0, from the same seed. The model is
    left as it was.

    Args:
        model: the model.
        sites: its sites.
        example_input: what it is called with: a tuple is spread, a mapping gives keywords.

    Raises:
        ValueError: if the model has layers that do not know their shapes yet, or does not run on
            this input with all rates at 0.
    """
    if isinstance(model, DistributedDataParallel):
        model = model.module
    _require_materialized(model)
    tried = [site for site in sites if site.kind != PLACEHOLDER and not _is_settled(site)]
    arguments = as_arguments(example_input, model)
    with untouched(model, arguments), _rates_restored(tried):
        check = _Check(model, tried, arguments)
        seen = check.seen_at_once()
        verdicts: dict[tuple[int, str], tuple[bool | None, str]] = {}
        verdicts |= {site.key: (True, site.note) for site in tried if site.key in seen}
        unseen = [site for site in tried if site.key not in seen]
        for group in check.worth_raising(unseen):
            verdicts |= {site.key: check.raised_alone(site) for site in group}
        for site in unseen:
            verdicts.setdefault(site.key, (False, site.note or NOT_FOLLOWED))
        left_over = _left_over(model, check.still.draws)
    judged = []
    for site in sites:
        live, note = verdicts.get(site.key, (site.live, site.note))
        judged.append(dataclasses.replace(site, live=live, note=note))
    return LiveCheck(tuple(judged), left_over)


class _Check:
    """Forwards of one model with one input, compared with the forward that has all rates at 0."""

    def __init__(self, model: nn.Module, sites: Sequence[Site], arguments: Arguments) -> None:
        self._model = model
        self._sites = sites
        self._arguments = arguments
        try:
            self.still = self._run((), 0.0)
        except Exception as error:
            raise does_not_run(model, arguments, error) from error
        self._steady = self._run((), 0.0).result == self.still.result

    def seen_at_once(self) -> set[tuple[int, str]]:
        """Return the sites whose own rate reached a random call in one forward."""
        count = len(self._sites) + 1
        tags = {site.key: 0.2 + 0.3 * (k + 1) / count for k, site in enumerate(self._sites)}
        for site in self._sites:
            site.write(tags[site.key])
        try:
            draws = trace(self._model, *self._arguments).draws
        except Exception:  # some rate is too high for this input; whose, is found one by one
            return set()
        return {key for key, tag in tags.items() if any(draw.carries(tag) for draw in draws)}

    def worth_raising(self, sites: Sequence[Site]) -> Iterator[list[Site]]:
        """Yield the sites of each class and attribute, unless raising all of them did nothing.

        Most of what is left is dead, often in dozens: a forward for each would take long.
        """
        if not sites or self._follows(sites) is False:
            return
        groups: dict[tuple[str, str], list[Site]] = {}
        for site in sites:
            groups.setdefault((site.cls, site.attribute), []).append(site)
        for group in groups.values():
            if len(group) == 1 or self._follows(group) is not False:
                yield group

    def raised_alone(self, site: Site) -> tuple[bool | None, str]:
        """Say whether the forward follows this site, and why it cannot be said."""
        follows = self._follows([site])
        if isinstance(follows, str):
            return None, follows
        return follows, site.note if follows else site.note or NOT_FOLLOWED

    def _follows(self, sites: Sequence[Site]) -> bool | str:
        """Compare forwards with some sites raised; text says why nothing could be shown."""
        failure = ""
        for rate in _TRIED:
            try:
                raised = self._run(sites, rate)
            except Exception as error:
                failure = f"the forward raised at rate {rate:g}: {type(error).__name__}: {error}"
                continue
            if not raised.same_draws(self.still):
                return True
            if self._steady and raised.result != self.still.result:
                return True
        if not self._steady:
            return "the forward gives other results from the same seed, so nothing was shown"
        return failure or False

    def _run(self, raised: Sequence[Site], rate: float) -> Trace:
        for site in self._sites:
            site.write(0.0)
        for site in raised:
            site.write(rate)
        return trace(self._model, *self._arguments)


def _left_over(model: nn.Module, draws: Sequence[Draw]) -> tuple[OutOfReach, ...]:
    """List the masks that were drawn with every rate at 0."""
    paths = {id(module): path for path, module in walk(model)}
    found: dict[tuple[str, int], OutOfReach] = {}
    for draw in draws:
        if draw.drops:
            path = paths.get(id(draw.module), "")
            name = type(draw.module or model).__name__
            place = (draw.file, draw.line)
            found.setdefault(place, OutOfReach(path, name, *place, line_of(*place)))
    return tuple(found.values())


def _is_settled(site: Site) -> bool:
    """Say whether structure alone decides (an RNN of one layer): no run can tell more."""
    return site.live is False and isinstance(site.owner, nn.RNNBase)


@contextlib.contextmanager
def _rates_restored(sites: Sequence[Site]) -> Iterator[None]:
    before = [(site, site.raw) for site in sites]
    try:
        yield
    finally:
        for site, value in before:
            site.write(value)


def _require_materialized(model: nn.Module) -> None:
    parameters: Iterable[tuple[str, Any]] = model.named_parameters()
    for name, parameter in parameters:
        if is_lazy(parameter):
            msg = f"Expected a model whose shapes are known, got the lazy parameter {name!r}. Call "
            msg += "the model once on a batch, then look for its sites."
            raise ValueError(msg)
