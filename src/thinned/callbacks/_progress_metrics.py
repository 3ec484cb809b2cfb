"""Shows the rate and the gap in the progress bar, beside the loss."""

from typing import Any

import pytorch_lightning as pl

from thinned.callbacks._record import collect

from ._lightning.trainer import all_callbacks

MOST_GROUPS = 3


class ProgressMetrics(pl.Callback):
    """Add the current rates and the last gap to whatever progress bar the trainer has.

    They are shown only: nothing is logged, and the metrics that other callbacks see stay as they
    are. The bar gets its own ``get_metrics`` back when fit ends.

    Example:
        >>> import pytorch_lightning as pl
        >>> trainer = pl.Trainer(callbacks=[ProgressMetrics()], logger=False)
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._patched: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let the bar ask here too."""
        bar: Any = trainer.progress_bar_callback
        ours = [each for each in all_callbacks(trainer) if isinstance(each, ProgressMetrics)]
        if bar is None or ours[0] is not self:
            return
        self._patched = vars(bar).get("get_metrics")
        of_bar = bar.get_metrics

        def get_metrics(*args: Any, **kwargs: Any) -> dict[str, Any]:
            return {**of_bar(*args, **kwargs), **shown(trainer)}

        self._bar = bar
        bar.get_metrics = get_metrics

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the bar as it was."""
        self._leave()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave the bar as it was."""
        self._leave()

    def _leave(self) -> None:
        if self._bar is not None:
            del self._bar.get_metrics  # the class has its own
            if self._patched is not None:  # unless somebody had put another one in
                self._bar.get_metrics = self._patched
            self._bar = None


def shown(trainer: pl.Trainer) -> dict[str, Any]:
    """What the bar shows of ours: the rates of some groups, and the gap of the watched metric."""
    rates = collect.rates(trainer)
    if len(rates) == 1:
        found: dict[str, Any] = {"rate": next(iter(rates.values()))}
    elif len(rates) <= MOST_GROUPS:
        found = {f"rate/{name}": rate for name, rate in rates.items()}
    else:
        found = {"rates": f"{min(rates.values()):.3g} to {max(rates.values()):.3g}"}
    gap = collect.last_gap(trainer)
    return found if gap is None else {**found, "gap": gap}
