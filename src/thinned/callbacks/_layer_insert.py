"""Inserts layers where none are while a model trains."""

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl

from thinned._checks import check_rate
from thinned._log import logger
from thinned.surgery import Edit, as_patterns, insert

from ._edits.callback import EditCallback
from ._example import training_example


class LayerInsert(EditCallback):
    """Insert dropout where none is when fit sets up, and undo it when fit ends.

    It is :func:`thinned.insert` at the right moment: before the model is wrapped and before it gets
    its optimizers, once per model, whatever the order of the callbacks. No key of a checkpoint
    moves, and an exception gives the plain model back too.

    Args:
        variant: a name of the registry, or ``"auto"``: by the placement table.
        rate: probability of dropping, in [0, 1]. What should begin later begins at 0. None is the
            ``p`` of a ``functools.partial``, else 0.1.
        include: globs on dotted paths below the LightningModule, such as ``"backbone.*"``.
        exclude: globs of what to leave out.
        after: insert after modules of this class; see :func:`thinned.insert`.
        example_input: an input to trace the model with, where its structure does not say enough;
            without it the module's ``example_input_array``, else, without ``after``, inputs of the
            first training samples, where the module runs on them.
        keep: leave the layers in the model when fit ends.

    Attributes:
        edits: what was done; print one to see it.

    Raises:
        NoEffectError: when fit sets up, if there is no place.
        ValueError: if ``rate`` is none.

    Example:
        >>> import pytorch_lightning as pl
        >>> insert = LayerInsert("spatial", 0.1, include="backbone.*")
        >>> trainer = pl.Trainer(callbacks=[insert], logger=False)
    """

    def __init__(
        self,
        variant: Any = "auto",
        rate: float | None = None,
        include: str | Iterable[str] = "*",
        exclude: str | Iterable[str] = (),
        *,
        after: Any = None,
        example_input: Any = None,
        keep: bool = False,
    ) -> None:
        super().__init__(keep=keep)
        self.variant = variant
        self.rate = rate if rate is None else check_rate("rate", rate)
        self.include = as_patterns(include)
        self.exclude = as_patterns(exclude, "exclude")
        self.after = after
        self.example_input = example_input

    def edit(self, trainer: pl.Trainer, model: pl.LightningModule) -> Edit:
        """Insert the layers into the model."""
        named = self.after is not None  # the place, for which no run is needed
        with training_example(trainer, model, self.example_input, run=not named) as example:
            edit = insert(
                model,
                self.variant,
                self.rate,
                self.include,
                self.exclude,
                after=self.after,
                example_input=example,
            )
        logger.info("%s", edit)
        return edit
