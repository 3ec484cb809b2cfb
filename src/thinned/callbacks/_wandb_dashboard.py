"""Sets up the W&B run: axes and summaries, the sites, the heat map, the verdict, one alert."""

import contextlib
import warnings
from typing import Any, cast

import pytorch_lightning as pl

from thinned._errors import ThinnedWarning
from thinned._log import logger
from thinned.callbacks._record import collect
from thinned.report import RateRow, coloured, heat

from ._record.guard import never_kills

STEP = "trainer/global_step"  # the axis of Lightning's WandbLogger
PATTERNS = dict.fromkeys(
    ("dropout/*", "overfit/*", "adaptive/*"), "last"
)  # W&B takes globs as suffixes only
HEAT_COLUMNS = 200
DONE = "thinned/trainings"


class WandbDashboard(pl.Callback):
    """Make a W&B run answer whether dropout works.

    ``dropout/*`` and ``overfit/*`` get their step axis and summary; the run gets its sites as a
    table, the rates as a heat map (site by time), the verdict in summary and config, and an alert
    at the onset of overfitting.

    The run is that of the trainer's `WandbLogger`, else the one that is active, else one that is
    started here, and only that one is finished here. To a run that is not the logger's our keys
    are added with ``commit=False``: they ride on the user's own rows, and the run's step axis
    stays as it was.

    Whatever W&B raises costs one warning, and training goes on.

    Args:
        project: the project of a run that has to be started here.
        alert: whether to send W&B's alert at the onset.

    Example:
        >>> import pytorch_lightning as pl
        >>> trainer = pl.Trainer(callbacks=[WandbDashboard()], logger=False)
    """

    reports_to = "W&B's dashboard"

    def __init__(self, project: str = "thinned", *, alert: bool = True) -> None:
        self.project = project
        self.alert = alert
        self.broken = False
        self._run: Any = None
        self._ours = False
        self._of_logger = False
        self._alerted = False
        self._sites: list[Any] = []
        self._rates: list[RateRow] = []
        self._every = 1
        self._validated = False

    @never_kills
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find or start the run, and define its metrics."""
        if stage != "fit" or getattr(trainer, "fast_dev_run", False) or not trainer.is_global_zero:
            return
        self._run, self._of_logger, self._ours = self._find(trainer)
        self._alerted = False
        if self._run.summary.get(DONE):
            msg = (
                "This W&B run already holds a training that has ended; this one is added to it. "
                "Call `wandb.finish()` between trainings of one process."
            )
            warnings.warn(msg, ThinnedWarning, stacklevel=2)
        self._run.define_metric(STEP)
        for pattern, summary in PATTERNS.items():
            self._run.define_metric(pattern, step_metric=STEP, summary=summary)

    @never_kills
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the sites and what watches over them."""
        if self._run is None:
            return
        self._sites = list(collect.sites(pl_module))
        self._rates = []
        self._every = max(1, (collect.planned_steps(trainer) or 10_000) // HEAT_COLUMNS)
        groups = collect.group_of_sites(trainer)
        rows = [collect.site_row(site, groups) for site in self._sites]
        if rows:
            self._log({"dropout/sites": _table(rows)})
        config = {"sites": len(rows), "schedule": collect.schedules(trainer)}
        self._run.config.update({"thinned": config}, allow_val_change=True)

    @never_kills
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note the rates, for the heat map; log them where no logger does."""
        step = trainer.global_step
        if self._run is None or step % self._every:
            return
        epoch = collect.epochs_done(trainer)
        row = RateRow(step, epoch, None, collect.rates(trainer), collect.site_rates(self._sites))
        self._rates.append(row)
        if not self._of_logger and row.groups:
            rates = {f"dropout/{name}/rate": rate for name, rate in row.groups.items()}
            self._log({**rates, STEP: step}, commit=self._ours)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that there is something to log."""
        self._validated = not trainer.sanity_checking

    @never_kills
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log what the validation found where no logger does; alert once at the onset."""
        if not self._validated:
            return
        self._validated = False
        found = collect.metrics(trainer)
        if self._run is None:
            return
        if not self._of_logger and found:
            ours = found if self._ours else {k: v for k, v in found.items() if k in _our(found)}
            self._log({**ours, STEP: trainer.global_step}, commit=self._ours)
        if self.alert and not self._alerted and "overfit/onset" in found:
            self._alerted = True
            self._run.alert(
                title="Overfitting has begun",
                text=f"Validation gets worse since epoch {found['overfit/onset']:g}. "
                + _action(collect.verdict(trainer)),
                level="WARN",
            )

    @never_kills
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the verdict and the heat map."""
        if self._run is None:
            return
        verdict = collect.verdict(trainer)
        if verdict is not None:
            text = {name: _text(value) for name, value in verdict.items()}
            self._run.summary.update({f"verdict/{name}": each for name, each in text.items()})
            self._run.config.update({"verdict": text["word"]}, allow_val_change=True)
        self._run.summary[DONE] = (self._run.summary.get(DONE) or 0) + 1
        if any(row.sites for row in self._rates):
            try:
                self._log({"dropout/heat": _heat(self._rates)})
            except ImportError as error:
                missing = "no heat map, since %s is missing: pip install 'thinned[report]'"
                logger.info(missing, error.name)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Finish the run if it is ours: the next one must not write into it."""
        self._finish(0)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Finish the run as failed if it is ours."""
        self._finish(1)

    def _find(self, trainer: pl.Trainer) -> tuple[Any, bool, bool]:
        """The run, whether it is the logger's, and whether it was started here."""
        for each in trainer.loggers:
            # By name: it may be of either of Lightning's namespaces, or of none.
            if any(cls.__name__ == "WandbLogger" for cls in type(each).__mro__):
                return cast("Any", each).experiment, True, False
        import wandb

        if wandb.run is not None:
            return wandb.run, False, False
        folder = trainer.default_root_dir
        return wandb.init(project=self.project, dir=folder), False, True

    def _log(self, values: dict[str, Any], *, commit: bool = False) -> None:
        self._run.log(values, commit=commit)

    def _finish(self, code: int) -> None:
        run, self._run = self._run, None
        if run is None or not self._ours:
            return
        if self.broken:  # what failed has been told
            with contextlib.suppress(Exception):
                run.finish(exit_code=code)
        else:
            self._close(run, code)

    @never_kills
    def _close(self, run: Any, code: int) -> None:
        run.finish(exit_code=code)


def _our(found: dict[str, float]) -> list[str]:
    return [key for key in found if key.startswith(("overfit/", "dropout/", "adaptive/"))]


def _table(rows: list[dict[str, Any]]) -> Any:
    import wandb

    table = wandb.Table(columns=[*rows[0]])
    for row in rows:
        table.add_data(*("" if value is None else str(value) for value in row.values()))
    return table


def _heat(rates: list[RateRow]) -> Any:
    import wandb
    from plotly.graph_objects import Figure

    return wandb.Plotly(Figure(coloured(heat(rates))))


def _text(value: Any) -> Any:
    return "\n".join(map(str, value)) if isinstance(value, (tuple, list)) else value


def _action(verdict: dict[str, Any] | None) -> str:
    return str(verdict["action"]) if verdict else ""
