"""Where what was measured goes: our run record and page, and Ultralytics' own W&B run."""

import sys
import time
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thinned._errors import ThinnedWarning
from thinned._log import logger
from thinned.integrations.ultralytics._judge import MONITOR
from thinned.metrics import Verdict
from thinned.report import RecordWriter, process_mark, write_page
from thinned.surgery import Site


class Journal:
    """Keeps the run record of an Ultralytics training, in its own folder.

    Steps are epochs, as in its ``results.csv``. A resumed training goes on with the same record.
    """

    def __init__(self) -> None:
        self._writer: RecordWriter | None = None
        self._began = 0.0

    def start(self, trainer: Any, sites: Iterable[Site], edit: str) -> None:
        """Begin the record, or take up that of the run which is resumed."""
        self._writer = writer = RecordWriter(Path(trainer.save_dir))
        self._began = time.monotonic()
        if trainer.start_epoch:
            writer.truncate_after(trainer.start_epoch - 1)
        else:
            writer.move_aside()
        writer.write(
            "header",
            version=1,
            name=Path(trainer.save_dir).name,
            started=_now(),
            seed=trainer.args.seed,
            monitor=MONITOR,
            mode="min",
            config=vars(trainer.args),
            environment={"trainer": f"Ultralytics, {trainer.args.task}"},
            process=process_mark(),
            planned_batches=trainer.epochs * len(trainer.train_loader),
        )
        rows = [
            {
                "path": site.path,
                "kind": site.kind,
                "class": site.cls,
                "rate": site.rate,
                "live": site.live,
                "group": "all",
            }
            for site in sites
        ]
        writer.write("sites", sites=rows)
        if edit:
            writer.write("edit", text=edit, count=len(rows))

    def epoch(self, trainer: Any, row: dict[str, float], rate: float) -> None:
        """Write an epoch's row, and log it to the W&B run that Ultralytics logs to."""
        if self._writer is not None:
            epoch = int(row["epoch"])
            progress = (epoch + 1) / trainer.epochs
            self._writer.write(
                "rates", step=epoch, epoch=epoch + 1, progress=progress, groups={"all": rate}
            )
            measured = {key: value for key, value in row.items() if key not in ("epoch", "rate")}
            self._writer.write("metrics", step=epoch, epoch=epoch + 1, values=measured)
        log_to_wandb({**row, "dropout/all/rate": rate})

    def verdict(self, trainer: Any, verdict: Verdict) -> None:
        """Write the verdict."""
        if self._writer is not None:
            names = ("word", "confidence", "evidence", "action")
            found = {name: getattr(verdict, name) for name in names}
            self._writer.write("verdict", **found, step=trainer.epoch, epoch=trainer.epoch + 1)

    def end(self, *, whole: bool) -> None:
        """End the record and make the page."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        seconds = round(time.monotonic() - self._began, 3)
        status = "finished" if whole else "interrupted"
        writer.write("end", status=status, error=None, ended=_now(), seconds=seconds)
        try:
            logger.info("report: %s", write_page(writer.path))
        except ImportError as error:
            logger.info("no page, since %s is missing: pip install 'thinned[report]'", error.name)
        except Exception as error:  # a report is never worth a run
            msg = f"No report could be made of {writer.path} ({error!r}). Try `thinned report`."
            warnings.warn(msg, ThinnedWarning, stacklevel=2)


def log_to_wandb(row: dict[str, float]) -> None:
    """Add a row to the active W&B run, if there is one; Ultralytics commits it with its own."""
    run = getattr(sys.modules.get("wandb"), "run", None)
    if run is None:
        return
    try:
        for pattern in ("overfit/*", "dropout/*"):
            run.define_metric(pattern, step_metric="epoch")
        ours = {
            key: value for key, value in row.items() if key.startswith(("overfit/", "dropout/"))
        }
        run.log({**ours, "epoch": row["epoch"] + 1}, commit=False)
    except Exception as error:  # W&B is never worth a run
        warnings.warn(f"W&B took no row of ours: {error!r}", ThinnedWarning, stacklevel=2)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
