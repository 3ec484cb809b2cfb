"""Swaps layers for variants while a model trains."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytorch_lightning as pl

from thinned._checks import check_rate
from thinned._log import logger
from thinned.surgery import Edit, as_patterns, swap

from ._edits.callback import EditCallback


class LayerSwap(EditCallback):
    """Swap layers for variants when fit sets up, and undo it when fit ends.

    It is :func:`thinned.swap` at the right moment: before the model is wrapped and before it gets
    its optimizers, once per model, whatever the order of the callbacks. Checkpoints have the keys
    of the plain model, and an exception gives the plain model back too.

    Args:
        mapping: what for what, such as ``{"Dropout": "spatial"}``; see :func:`thinned.swap`.
        include: globs on dotted paths below the LightningModule, such as ``"backbone.*"``.
        exclude: globs of what to leave out.
        rate: probability of dropping, in [0, 1]; None is each site's own.
        keep: leave the variants in the model when fit ends.

    Attributes:
        edits: what was done; print one to see it.

    Raises:
        NoEffectError: when fit sets up, if a key matches no module.
        ValueError: for a wrong rate at once; when fit sets up, for a swap that would do harm.

    Example:
        >>> import pytorch_lightning as pl
        >>> swap = LayerSwap({"Dropout": "spatial"}, include="backbone.*")
        >>> trainer = pl.Trainer(callbacks=[swap], logger=False)
    """

    def __init__(
        self,
        mapping: Mapping[Any, Any],
        include: str | Iterable[str] = "*",
        exclude: str | Iterable[str] = (),
        *,
        rate: float | None = None,
        keep: bool = False,
    ) -> None:
        super().__init__(keep=keep)
        self.mapping = mapping
        self.include = as_patterns(include)
        self.exclude = as_patterns(exclude, "exclude")
        self.rate = rate if rate is None else check_rate("rate", rate)

    def edit(self, trainer: pl.Trainer, model: pl.LightningModule) -> Edit:
        """Swap the layers of the model."""
        edit = swap(model, self.mapping, self.include, self.exclude, rate=self.rate)
        logger.info("%s", edit)
        return edit
