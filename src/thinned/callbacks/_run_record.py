"""Writes what a run was and did to ``record.jsonl``, whatever logger it has, or none."""

import logging
import time
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from thinned._checks import check_path
from thinned._errors import ThinnedWarning
from thinned._log import logger
from thinned.callbacks._record import collect, identity
from thinned.report import RecordWriter

from ._record.guard import never_kills

RATE_ROWS = 200
SITE_ROWS = 60


class RunRecord(pl.Callback):
    """Keep a record of the run in plain JSON lines, and make a page of it when fit ends.

    The record holds the configuration, the sites and edits, the rates as read back from the
    modules, every validation's metrics, the verdict and how the run ended. ``thinned report``
    and ``thinned compare`` read it, also while the run is going on and after a crash.

    Only the first rank writes. A resumed run goes on from the checkpoint's step: what the
    earlier one wrote after it is dropped. An earlier run's record in the same folder is kept
    under another name. Nothing is written with ``fast_dev_run``.

    Args:
        dirpath: folder for ``record.jsonl``. Without it: Hydra's output folder in a Hydra app,
            else the folder that the first logger has for this run, else a new one in ``runs/``
            below the trainer's ``default_root_dir``.
        config: the run's configuration; without it the hyperparameters that the model and the
            data module saved.
        page: whether to write ``report.html`` beside it at the end (extra ``report``).
        summary: whether to print what the run came to (never with ``set_verbosity("warning")``).

    Example:
        >>> import pytorch_lightning as pl
        >>> trainer = pl.Trainer(callbacks=[RunRecord("runs/first")], logger=False)
    """

    reports_to = "The run record"

    def __init__(
        self,
        dirpath: str | Path | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        page: bool = True,
        summary: bool = True,
    ) -> None:
        self.dirpath = None if dirpath is None else check_path("dirpath", dirpath)
        self.config = identity.checked_config(config)
        self.page = page
        self.summary = summary
        self.report: Path | None = None
        self.broken = False
        self._writer: RecordWriter | None = None
        self._folder: Path | None = None
        self._phase = "done"  # then "ready" by setup, and "open" while fit runs
        self._step = 0
        self._planned: int | None = None
        self._findings_due = False
        self._loaded: dict[str, Any] | None = None
        self._began = 0.0
        self._pending: tuple[int, float] | None = None
        self._due = {"groups": 0, "sites": 0}
        self._sites_at = -1
        self._sites: list[Any] = []
        self._watched: dict[str, Any] = {}
        self._verdict: dict[str, Any] | None = None

    @property
    def path(self) -> Path | None:
        """The record's file once it has begun; None on ranks that write none."""
        return self._writer.path if self._writer else None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Choose the folder; asked on all ranks, since Lightning broadcasts it."""
        if stage != "fit" or getattr(trainer, "fast_dev_run", False):
            return
        folder = self.dirpath or identity.run_folder(trainer)
        self._folder = folder if trainer.is_global_zero else None
        self._phase = "ready"

    @never_kills
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the record, or take up that of the run which is resumed."""
        if self._phase != "ready":
            return
        self._phase = "open"
        self._pending = self._verdict = None
        if self._folder is None:
            return
        goes_on = self._writer is not None and trainer.global_step > 0
        if self._writer is None or not goes_on:
            self._writer = RecordWriter(self._folder)
        writer = self._writer
        self._began = time.monotonic()
        if self._loaded is not None:
            identity.take_up(writer, Path(self._loaded["path"]), self._loaded["step"])
            self._loaded = None
        elif goes_on:  # the same trainer fits some epochs more
            writer.truncate_after(trainer.global_step)
        else:
            writer.move_aside()
        writer.write("header", **identity.header(trainer, pl_module, self.config))

    @never_kills
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what is known once all callbacks have set up: sites, edits, the plan."""
        if self._writer is None:
            return
        self._sites = list(collect.sites(pl_module))
        groups = collect.group_of_sites(trainer)
        rows = [collect.site_row(site, groups) for site in self._sites]
        self._watched = collect.watched(trainer)
        planned = collect.planned_batches(trainer)
        self._writer.write("header", planned_batches=planned, **self._watched)
        self._writer.write("sites", sites=rows)
        for row in collect.edits(trainer):
            self._writer.write("edit", **row)
        self._findings_due = True
        self._planned = collect.planned_steps(trainer)
        self._due = {"groups": trainer.global_step, "sites": trainer.global_step}

    @never_kills
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write the validation that lies behind, when all callbacks have had their say."""
        self._flush(trainer)

    @never_kills
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Write the findings of the first batch, and the rates, some hundred times in a run."""
        self._write_findings(trainer)
        if self._writer is not None and trainer.global_step >= self._due["groups"]:
            self._write_rates(trainer)

    @never_kills
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the validation before this one, where no batch lay between."""
        self._flush(trainer)

    @never_kills
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the moment; other callbacks may still add to its metrics."""
        if self._phase == "open" and not trainer.sanity_checking:
            self._pending = (trainer.global_step, collect.validation_epoch(trainer))
        self._write_calibration(trainer)

    @never_kills
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add what a test with many masks found, where a fit came before it."""
        self._write_calibration(trainer)

    @never_kills
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the validation with the epoch's training metrics."""
        self._flush(trainer)

    @never_kills
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write what lies before the checkpoint, so that a resumed run finds it."""
        self._flush(trainer, keep=True)

    @never_kills
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End the record and make the page."""
        if self._sites_at != trainer.global_step:
            self._write_rates(trainer, ended=True)
        self._finish(trainer, "finished")

    @never_kills
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """End the record with the error, also where training had not begun."""
        self.on_fit_start(trainer, pl_module)  # where it failed before that
        stopped = isinstance(exception, KeyboardInterrupt) or "SIGTERM" in type(exception).__name__
        status = "interrupted" if stopped else "failed"
        self._finish(trainer, status, f"{type(exception).__name__}: {exception}".strip(": "))

    def state_dict(self) -> dict[str, Any]:
        """Where the record is, and up to which step it belongs to the checkpoint."""
        if self._writer is None or self._phase == "ready":  # a search for a learning rate saves
            return {}
        return {"path": str(self._writer.path.absolute()), "step": self._step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the earlier record; it is taken up when fit starts."""
        self._loaded = identity.of_state(state_dict)

    def _flush(self, trainer: pl.Trainer, *, keep: bool = False) -> None:
        self._step = trainer.global_step
        if self._pending is None:
            return
        (step, epoch), values = self._pending, collect.metrics(trainer)
        if not keep:
            self._pending = None
        if self._writer is None:
            return
        watched = collect.watched(trainer)
        if watched != self._watched:  # `monitor=None` is known from the first validation on
            self._watched = watched
            self._writer.write("header", **watched)
        self._writer.write("metrics", step=step, epoch=epoch, values=values)
        verdict = collect.verdict(trainer)
        if verdict is not None and verdict != self._verdict:
            self._writer.write("verdict", **verdict, step=step, epoch=epoch)
            self._verdict = verdict

    def _write_findings(self, trainer: pl.Trainer) -> None:
        if self._writer is not None and self._findings_due:
            self._findings_due = False
            for row in collect.findings(trainer):
                self._writer.write("finding", **row)

    def _write_rates(self, trainer: pl.Trainer, *, ended: bool = False) -> None:
        writer, step = self._writer, trainer.global_step
        if writer is None:
            return
        row: dict[str, Any] = {"step": step, "epoch": collect.epochs_done(trainer, ended=ended)}
        row["progress"], row["groups"] = collect.progress(trainer), collect.rates(trainer)
        planned = self._planned or step * 10  # of unknown length: ever more rarely
        if ended or step >= self._due["sites"]:
            self._sites_at = step
            row["sites"] = collect.site_rates(self._sites)
            self._due["sites"] = step + max(1, planned // SITE_ROWS)
        self._due["groups"] = step + max(1, planned // RATE_ROWS)
        writer.write("rates", **row)

    def _write_calibration(self, trainer: pl.Trainer) -> None:
        found = collect.calibration(trainer)
        if found is not None and self._writer is not None:
            self._writer.write("calibration", **found)
            if self.page:
                self.report = _quietly(_page, self._writer.path)

    def _finish(self, trainer: pl.Trainer, status: str, error: str | None = None) -> None:
        if self._phase != "open":
            return
        self._write_findings(trainer)  # also those at which a diagnosis stopped the run
        self._flush(trainer)
        self._phase = "done"
        if self._writer is None:
            return
        seconds = round(time.monotonic() - self._began, 3)
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        self._writer.write("end", status=status, error=error, ended=ended, seconds=seconds)
        if self._writer.broken:
            return
        if self.page:
            self.report = _quietly(_page, self._writer.path)
        if self.summary and status != "failed" and logger.isEnabledFor(logging.INFO):
            _quietly(_summary, self._writer.path, self.report)


def _page(record: Path) -> Path:
    from thinned.report import write_page

    return write_page(record)


def _summary(record: Path, page: Path | None) -> None:
    from rich.console import Console

    from thinned.report import read_record, summary

    Console(stderr=True, highlight=False).print(summary(read_record(record), page))


def _quietly(action: Callable[..., Any], record: Path, *args: Any) -> Any:
    """A report is never worth a run: what goes wrong with it costs a warning."""
    try:
        return action(record, *args)
    except ImportError as error:
        logger.info("no page, since %s is missing: pip install 'thinned[report]'", error.name)
    except Exception as error:
        msg = f"Of {record} no report could be made ({error!r}). Try `thinned report`."
        warnings.warn(msg, ThinnedWarning, stacklevel=2)
    return None
