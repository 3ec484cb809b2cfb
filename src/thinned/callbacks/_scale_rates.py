"""Multiplies all rates of a model by one factor while it trains, and keeps their ratios."""

import functools
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytorch_lightning as pl

from thinned._checks import check_number
from thinned._log import logger
from thinned.schedules import as_schedule
from thinned.surgery import RateScale, Site, SiteList, as_patterns, chosen
from thinned.surgery._sites.site_list import checked_kinds

from ._lightning.trainer import progress
from ._rates.callback import RateCallback, as_length
from ._rates.groups import sampled


class ScaleRates(RateCallback):
    """Set every rate to a factor times what it was when the model came: one number to sweep.

    Models whose rates differ from place to place (drop paths that grow with depth, an encoder and
    its head) keep their ratios. Factors do not add up: a second ``fit`` of the same model starts
    from the same rates, and so does a resumed run. Logged is ``dropout/scaled/rate``, the largest
    rate, as read back. When training ends the rates stay as they were set.

    Args:
        factor: what to multiply with, at least 0: a number, a schedule or a function of progress;
            or a schedule's name, which goes to or holds 1.
        include: globs on dotted paths below the LightningModule, such as ``"backbone.*"``.
        exclude: globs of what to leave out.
        kinds: a kind, several, or ``"all"``. Without it, and with ``include="*"``, only sites of
            the kind ``dropout`` are scaled.
        total_steps: length of the training in batches, where the trainer's limits do not say it.

    Attributes:
        groups: ``scaled`` to the sites, once fit has begun.
        rates: ``scaled`` to the largest rate, read back from the modules.

    Raises:
        NoEffectError: when fit starts, if no site matches, or all of them are at rate 0.
        ValueError: for a wrong factor at once; when fit starts, if another callback sets one of the
            sites too; in training, if a rate would exceed 1, or its length is not known and the
            factor needs it.

    Example:
        >>> import pytorch_lightning as pl
        >>> trainer = pl.Trainer(callbacks=[ScaleRates(0.5)], logger=False)
    """

    def __init__(
        self,
        factor: Any = 1.0,
        include: str | Iterable[str] = "*",
        exclude: str | Iterable[str] = (),
        *,
        kinds: str | Iterable[str] | None = None,
        total_steps: int | None = None,
    ) -> None:
        super().__init__()
        self._factor = _as_factor(factor)
        self._choice = functools.partial(
            chosen,
            include=as_patterns(include),
            exclude=as_patterns(exclude, "exclude"),
            kinds=checked_kinds(kinds),
        )
        self.total_steps = as_length(total_steps)
        self._scale: RateScale | None = None
        self._left = _Left()

    @property
    def groups(self) -> dict[str, SiteList]:
        """The sites, under the name ``scaled``; empty before fit."""
        return {} if self._scale is None else {"scaled": self._scale.sites}

    @property
    def rates(self) -> dict[str, float]:
        """The largest rate, read back from the modules; empty before fit."""
        return {} if self._scale is None else {"scaled": max(self._scale.rates.values())}

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return the lowest and the highest rate that each site gets in a training, by its path."""
        if self._scale is None:
            return {}
        factors = sampled(self._factor)
        low, high = min(factors), max(factors)
        return {path: (low * rate, high * rate) for path, rate in self._scale.base.items()}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the sites and their rates; those of before, where they still stand as scaled."""
        super().on_fit_start(trainer, pl_module)
        logger.info("dropout/scaled/rate: %s sites keep their ratios", len(self.groups["scaled"]))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set the first rates."""
        self._move(trainer)
        if self._scale is not None:
            known = _SCALED.setdefault(pl_module, {})
            known.update(dict.fromkeys(self._scale.base, self._left))

    def _verified(self) -> dict[str, float]:
        return self.rates

    def _find(self, model: pl.LightningModule) -> None:
        sites = self._choice(model)
        known = _SCALED.get(model, {})
        base = {
            site.path: known[site.path].base[site.path]
            for site in sites
            if site.path in known and known[site.path].stands_at(site)
        }
        self._scale = RateScale(sites, base=base or None)
        self._left = _Left(dict(self._scale.base))

    def _move(self, trainer: pl.Trainer) -> None:
        if self._scale is not None:
            now = progress(trainer, self.total_steps).fraction
            if now is None and getattr(self._factor, "needs_progress", True):
                raise self._no_length(trainer)
            factor = float(self._factor(0.0 if now is None else now))
            if factor != self._scale.factor:
                self._scale(factor)
                self._left.factor = factor


@dataclass
class _Left:
    """What a callback leaves in a model: the rates that it came with, by path, and the factor."""

    base: dict[str, float] = field(default_factory=dict)
    factor: float = 1.0

    def stands_at(self, site: Site) -> bool:
        """Say whether the site holds what was left there: nobody has set it since."""
        return abs(site.rate - min(1.0, self.base[site.path] * self.factor)) < 1e-6


_SCALED: "weakref.WeakKeyDictionary[pl.LightningModule, dict[str, _Left]]" = (
    weakref.WeakKeyDictionary()
)
"""Of each model, by path, what was left there last."""


def _as_factor(factor: Any) -> Callable[[float], Any]:
    """Return the factor as a function of progress."""
    if isinstance(factor, str):
        return as_schedule(factor, rate=1.0)
    if callable(factor):
        return factor  # type: ignore[no-any-return]  # what it returns is checked at each step
    return _Constant(check_number("factor", factor, 0.0, what="a factor"))


@dataclass(frozen=True)
class _Constant:
    """The same factor all along, which a schedule could not hold above 1."""

    factor: float
    needs_progress: ClassVar[bool] = False

    def __call__(self, _: float) -> float:
        return self.factor
