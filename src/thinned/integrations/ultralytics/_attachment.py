"""What hangs on a YOLO object: it waits for the training model, then sets its rates."""

import contextlib
import inspect
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from torch import nn

from thinned._errors import NoEffectError, ThinnedWarning
from thinned._log import logger
from thinned.integrations.ultralytics._clock import BatchClock
from thinned.integrations.ultralytics._journal import Journal
from thinned.integrations.ultralytics._judge import described, judged
from thinned.integrations.ultralytics._places import Place, find_places, layer_of, nothing_found
from thinned.integrations.ultralytics._probe import Probe
from thinned.metrics import Verdict
from thinned.schedules import Schedule
from thinned.surgery import Edit, SiteList, find_sites
from thinned.surgery._edits.changes import Hooked

#: What Ultralytics calls, in the order of a training; each is a method of `Attachment`.
EVENTS = (
    "on_pretrain_routine_start",
    "on_train_start",
    "on_train_epoch_start",
    "on_train_batch_start",
    "on_train_epoch_end",
    "on_fit_epoch_end",
    "on_train_end",
    "teardown",
)
_DEFAULT_VARIANT = {"residual": "drop_path"}
_TASK_WITH_DROPOUT = "classify"


class Attachment:
    """The callbacks that `attach` leaves on a YOLO object.

    It holds plain values until training starts, and so travels in the pickle from which Ultralytics
    starts the processes of a multi-GPU training.

    Attributes:
        sites: the sites that are driven, while a training runs.
        history: one row an epoch: what was measured, and the rate.
        verdict: what the history says so far; None before the first measurement.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        sites: tuple[str, ...],
        variant: str | None,
        every: str,
        probe: float | None,
    ) -> None:
        self.schedule, self.asked, self.variant, self.every = schedule, sites, variant, every
        self.probe = None if probe is None else Probe(probe)
        self.sites = SiteList()
        self._clock, self._journal = BatchClock(), Journal()
        self._edit: Edit | None = None
        self._own: dict[str, float] = {}  # the model's own dropout, and the rates it had
        self.verdict: Verdict | None = None
        self._summary = "not training yet"

    @property
    def history(self) -> list[dict[str, float]]:
        """What was measured, one row an epoch."""
        return [] if self.probe is None else self.probe.history

    @property
    def rate(self) -> float:
        """The rate, read back from the first site; 0 while nothing is driven."""
        return self.sites[0].rate if self.sites else 0.0

    def report(self) -> str:
        """Say what was found and set, and what was measured."""
        lines = [repr(self)]
        if self.probe is not None:
            lines += described(self.history, self.verdict)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Attachment: {self.schedule!r} at {', '.join(self.asked)}, {self._summary}>"

    def remove(self) -> None:
        """Take everything off the model: hooks go, its own dropout gets its old rates back."""
        for site in self.sites:
            if site.path in self._own:
                site.set(self._own[site.path])
        if self._edit is not None:
            self._edit.undo()
        self._edit, self._own, self.sites = None, {}, SiteList()

    # What Ultralytics calls.

    def on_pretrain_routine_start(self, trainer: Any) -> None:
        """Say what ``train(dropout=...)`` does, and where callbacks would be lost."""
        if trainer.world_size > 1 and not carries_callbacks():
            msg = (
                f"This Ultralytics starts the processes of {trainer.world_size} GPUs without "
                "callbacks: there would be no dropout. Use ultralytics>=8.4.190, or one GPU."
            )
            warnings.warn(msg, ThinnedWarning, stacklevel=2)
        given, task = getattr(trainer.args, "dropout", 0.0), trainer.args.task
        if not given:
            return
        if task == _TASK_WITH_DROPOUT:
            news = f"sets the rate of the classifier; {self!r} takes it over. Give only one of them"
        else:
            news = (
                f"does nothing for the task {task!r}: Ultralytics reads it for "
                f"{_TASK_WITH_DROPOUT!r} only. What counts is {self!r}. Leave it out of train()"
            )
        warnings.warn(f"train(dropout={given}) {news}.", ThinnedWarning, stacklevel=2)

    def on_train_start(self, trainer: Any) -> None:
        """Put dropout on the model that is trained; validation looks at its average, not at it."""
        self.remove()
        model = unwrapped(trainer.model)
        self._clock.start_epoch()
        if self.probe is not None:
            self.probe.start()
            self.verdict = None
        start = self.schedule(self._clock.progress(trainer, self.every))
        named, own = self._resolve(model)
        self._own = {site.path: site.rate for site in own}
        if named:
            places = find_places(model, named)
            self._edit = Edit(model, "insert", [self._hooked(place, start) for place in places])
        inserted = self._edit.sites if self._edit is not None else ()
        self.sites = SiteList([*own, *inserted])
        self._set(start)
        self._summary = f"{_count(own, 'dropout module')} set, {_count(inserted, 'hook')} inserted"
        logger.info("Ultralytics %s: %s, rate %g", trainer.args.task, self._summary, self.rate)
        if is_first_rank():
            self._journal.start(trainer, self.sites, str(self._edit or ""))

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Begin an epoch, which may be a repeated one; set its first rate."""
        self._clock.start_epoch()
        self._clean(trainer)
        self._set(self.schedule(self._clock.progress(trainer, self.every)))

    def on_train_batch_start(self, trainer: Any) -> None:
        """Set the rate of this batch."""
        self._clock.start_batch()
        if self.every == "step":
            self._set(self.schedule(self._clock.progress(trainer, self.every)))

    def on_train_epoch_end(self, trainer: Any) -> None:
        """Clean the average before it is validated and saved."""
        self._clean(trainer)
        if self.probe is not None:
            self.probe.expect()

    def on_fit_epoch_end(self, trainer: Any) -> None:
        """Measure the gap, once an epoch."""
        row = None if self.probe is None else self.probe.measure(trainer, self.rate)
        if row is None or not is_first_rank():
            return
        found, self.verdict = judged(self.history)
        row.update(found)
        self._journal.epoch(trainer, row, self.rate)

    def on_train_end(self, trainer: Any) -> None:
        """End the record as a whole one, with the verdict."""
        if self.verdict is not None:
            self._journal.verdict(trainer, self.verdict)
            logger.info("%s", "\n  ".join(described(self.history, self.verdict)))
        self._journal.end(whole=True)

    def teardown(self, trainer: Any) -> None:
        """Take everything off, also after a crash."""
        self._journal.end(whole=False)
        self.remove()

    def _resolve(self, model: nn.Module) -> tuple[list[str], SiteList]:
        """Return the places asked for by name or pattern, and the model's own dropout sites."""
        named = [name for name in self.asked if name not in ("auto", "modules")]
        wants_own = "modules" in self.asked or "auto" in self.asked
        own = find_sites(model, kinds="dropout") if wants_own else SiteList()
        if "modules" in self.asked and not own:
            raise NoEffectError(nothing_found(model, "modules"))
        if "auto" in self.asked and not own:
            named.append("residual")
        return named, own

    def _hooked(self, place: Place, rate: float) -> Hooked:
        name = self.variant or _DEFAULT_VARIANT.get(place.kind, "spatial")
        return Hooked(place.path, place.host, place.hook(layer_of(name)(rate)), place.kind)

    def _set(self, rate: float) -> None:
        for site in self.sites:
            site.set(rate)

    def _clean(self, trainer: Any) -> None:
        """Strip the moving average: recovery from a NaN makes it anew, by a copy of this model."""
        average = getattr(getattr(trainer, "ema", None), "ema", None)
        if average is None:
            return
        if self._edit is not None:
            with contextlib.suppress(NoEffectError):  # the usual case: it holds nothing of ours
                self._edit.strip(average)
        if self._own:
            for site in find_sites(average, kinds="dropout"):
                if site.path in self._own:
                    site.set(self._own[site.path])


def carries_callbacks() -> bool:
    """Say whether Ultralytics hands callbacks to the processes that it starts for several GPUs.

    It writes a file for them, and releases before 2026 left callbacks out of it. There is no flag
    for that: the source of the function that writes the file is the only witness.
    """
    launcher = sys.modules.get("ultralytics.utils.dist")
    return launcher is None or "callbacks" in inspect.getsource(launcher.generate_ddp_file)


def is_first_rank() -> bool:
    """Say whether this process writes: of several, Ultralytics numbers them by ``RANK``."""
    return os.environ.get("RANK", "-1") in ("-1", "0")


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model below ``torch.compile`` and DDP."""
    while True:
        inner = getattr(model, "_orig_mod", None) or getattr(model, "module", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def _count(items: Sequence[Any], what: str) -> str:
    return f"{len(items)} {what}{'s' * (len(items) != 1)}"
