"""Dropout, and whether it helped, in one line."""

import weakref
from typing import Any, NamedTuple

import pytorch_lightning as pl

from thinned._checks import check_rate
from thinned._errors import NoEffectError
from thinned._log import logger
from thinned.schedules import Proportional, Uniform, as_schedule
from thinned.surgery import Edit, Site, find_sites, insert
from thinned.surgery._sites.table import fold

from ._dropout_scheduler import DropoutScheduler
from ._edits.callback import EditCallback
from ._example import training_example
from ._overfitting_monitor import OverfittingMonitor

_NAMED = 6  # places that a line has room for
_NO_PLACE = (
    "`regularize` found no dropout that is on, and no place for one. Put an `nn.Dropout` into the "
    "model; or give the LightningModule an `example_input_array`, so that a run shows more places; "
    "or name places, in the list of callbacks instead of it: LayerInsert(after='Linear'), "
    "DropoutScheduler(0.1), OverfittingMonitor()."
)


def regularize(
    dropout: float = 0.1, *, schedule: Any = None, monitor: str | None = None, mode: str = "min"
) -> list[pl.Callback]:
    """Return the callbacks that give any model dropout and measure what it does.

    The dropout layers that are on (rate above 0) get the rate. Where none is on, layers are
    inserted by the placement table of :func:`thinned.insert`, and taken out again when fit ends;
    where dropout at rate 0 stands in such a place already, it gets the rate instead. The places are
    seen by a run on ``example_input_array``, else on the first training samples. A further fit
    of the same model takes the same places, whatever rate the schedule has left in them.
    One line says what was done, where and how often. The gap between training and validation, and
    the verdict, are measured by an :class:`OverfittingMonitor`.

    Args:
        dropout: probability of dropping, in [0, 1].
        schedule: how the rate moves: a schedule, or a function of progress, which say their rates
            themselves; or a name, which moves to ``dropout``. None holds ``dropout``.
        monitor: the validation metric to judge by; None takes what EarlyStopping or
            ModelCheckpoint monitor, else the one logged key that contains "loss".
        mode: ``"min"`` or ``"max"``: which of its values are better.

    Returns:
        A list for ``Trainer(callbacks=...)``; add your own to it. The last is the monitor, which
        has ``verdict``, ``summary()`` and ``history``.

    Raises:
        ValueError: if ``dropout`` is no rate, or ``schedule`` or ``mode`` is unknown.

    Example:
        >>> import pytorch_lightning as pl
        >>> import thinned
        >>> trainer = pl.Trainer(callbacks=thinned.regularize(dropout=0.1), logger=False)
    """
    rate = check_rate("dropout", dropout)
    scheduler = DropoutScheduler(as_schedule(rate if schedule is None else schedule, rate=rate))
    return [Regularizer(scheduler, rate), scheduler, OverfittingMonitor(monitor, mode)]


class Regularizer(EditCallback):
    """Chooses the sites of a scheduler: those that are on, else those that it inserts.

    Args:
        scheduler: the scheduler that sets them.
        rate: the rate at which layers are inserted, in [0, 1].
    """

    def __init__(self, scheduler: DropoutScheduler, rate: float) -> None:
        super().__init__(keep=False)
        self.scheduler = scheduler
        self.rate = rate
        self._came_on: dict[str, bool] = {}
        self._before: dict[str, float] = {}

    def edit(self, trainer: pl.Trainer, model: pl.LightningModule) -> Edit | None:
        """Insert layers where no dropout is on."""
        self.scheduler.only, self.scheduler.profile = None, Uniform()
        sites = find_sites(model, kinds="dropout")
        left = _LEFT.get(model, {})
        self._came_on = {site.path: _is_on(site, left.get(site.path)) for site in sites}
        own = [site for site in sites if not _is_left(site, left.get(site.path))]
        self._before = {site.path: site.rate for site in own if site.rate > 0}
        on = [site.path for site in sites if self._came_on[site.path] and site.live is not False]
        if on:
            self.scheduler.only = frozenset(on)
            return None
        off = {site.path: 1.0 for site in sites if site.live is not False}
        edit = None
        try:
            with training_example(trainer, model) as example:
                edit = insert(model, rate=self.rate, example_input=example)
        except NoEffectError as error:
            if not off:
                raise NoEffectError(f"{error}\n{_NO_PLACE}") from None
        inserted = edit.sites.rates if edit is not None else {}
        # Residual blocks have the linear rule: each site keeps its share.
        shares = {path: rate / (self.rate or 1.0) for path, rate in inserted.items()}
        if edit is None or edit.already:
            shares |= off
        self.scheduler.only = frozenset(shares)
        if self.rate > 0:
            order = (site.path for site in find_sites(model) if site.path in shares)
            self.scheduler.profile = Proportional(tuple(shares[path] for path in order))
        return edit if inserted else None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say in one line what was done."""
        super().on_train_start(trainer, pl_module)
        sites = [site for group in self.scheduler.groups.values() for site in group]
        paths = [site.path for site in sites]
        inserted = {site.path for edit in self._standing for site in edit.sites}
        verbs = {"inserted" if path in inserted else "set" for path in paths}
        schedule = next(iter(self.scheduler.plan.values()))
        rates = {rate for path, rate in self._before.items() if path in paths}
        was = f"; before, the rate was {_span(rates)}" if rates - {schedule(0.0)} else ""
        logger.info(
            "regularize: dropout %s at %d %s (%s), following %s%s",
            " or ".join(sorted(verbs)),
            len(paths),
            "place" if len(paths) == 1 else "places",
            _listed(paths),
            schedule,
            was,
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember what the schedule leaves in the model's own layers."""
        self._remember(pl_module)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Remember it, as far as the model was trained, and give the model back as it was."""
        self._remember(pl_module)
        super().on_exception(trainer, pl_module, exception)

    def _remember(self, model: pl.LightningModule) -> None:
        sites = [site for group in self.scheduler.groups.values() for site in group]
        came = self._came_on
        _LEFT[model] = {s.path: _Left(came[s.path], s.rate) for s in sites if s.path in came}


class _Left(NamedTuple):
    """How a layer of the model's own came, and the rate that was left in it."""

    on: bool
    rate: float


_LEFT: "weakref.WeakKeyDictionary[pl.LightningModule, dict[str, _Left]]" = (
    weakref.WeakKeyDictionary()
)
"""Of each model, by path, what a schedule has left: its last rate does not say what is on."""


def _listed(paths: list[str]) -> str:
    """Name the places; many are folded over the numbers in their paths."""
    names = list(dict.fromkeys(fold(path) for path in paths)) if len(paths) > _NAMED else paths
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _span(rates: set[float]) -> str:
    return " to ".join(f"{rate:.4g}" for rate in sorted({min(rates), max(rates)}))


def _is_on(site: Site, left: _Left | None) -> bool:
    """Say whether a site is on, of itself: as it came, where nobody has set it since."""
    return left.on if left is not None and _is_left(site, left) else bool(site.rate > 0)


def _is_left(site: Site, left: _Left | None) -> bool:
    """Say whether a site still has the rate that a schedule left in it."""
    return left is not None and left.rate == site.rate
