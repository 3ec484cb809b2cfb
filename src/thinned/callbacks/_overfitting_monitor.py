"""Measures overfitting while a Lightning model trains, and disturbs nothing."""

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from typing_extensions import override

from thinned._checks import check_choice, check_count
from thinned._errors import ThinnedWarning
from thinned.metrics._verdict import Verdict
from thinned.surgery import SiteList, as_patterns

from ._lightning.log_values import publish, send
from ._lightning.state import plain_state, reading
from ._lightning.trainer import progress
from ._monitor import rows, show
from ._monitor.keys import in_front, refuse_second, stale_between, unmeasured, watched
from ._monitor.rows import Row
from ._probe.asked import checked_monitor
from ._probe.lightning import (
    check_lightning,
    val_loaders,
    validation_logged,
    validation_step_count,
    validation_will_run,
)
from ._probe.noise import Noise
from ._probe.probe import Probe, Reading, merged
from ._probe.units import Units

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class OverfittingMonitor(pl.Callback):
    """Measures the fair gap at each validation, and says in words what it found.

    The probe, a fixed subset of the training set, is evaluated in evaluation mode by the model's
    own ``validation_step`` and epoch-end hooks, so that its figures differ from validation's by
    the data alone. Training is left bitwise as it would be without: weights, buffers, metric
    states, schedulers, random generators.

    Logged for each metric that validation logs: ``overfit/gap/<metric>`` (validation minus probe),
    ``overfit/probe/<metric>``, ``overfit/ratio/<metric>`` (validation over probe) and
    ``overfit/inflation/<metric>`` (what dropout's noise adds to a training-mode figure). For the
    watched one: Prechelt's ``overfit/gl`` and ``overfit/pq``, ``overfit/onset`` (the epoch after
    which it rises, once there is evidence) and ``overfit/verdict`` (the index in
    `thinned.metrics.VERDICTS`). `EarlyStopping` and `ModelCheckpoint` may monitor all but the
    onset, in the same validation and whatever the order of callbacks.

    Args:
        monitor: the validation metric to judge by. None takes what `EarlyStopping` or
            `ModelCheckpoint` monitor, else the one logged key that contains "loss".
        mode: ``"min"`` or ``"max"``: which of its values are better.
        probe: a fraction of the training set (a float), a number of samples (an int), or a
            `DataLoader` with batches as `validation_step` reads them. Pass a loader without
            augmentation where the training set augments: the gap is understated otherwise.
        every: evaluate the probe at every n-th validation.
        noise: also measure the inflation, on an eighth of the probe (at least one batch).
        units: patterns of dropout sites whose units are watched: their co-adaptation is logged as
            ``overfit/co_adaptation/<path>``, the share of silent ones as
            ``overfit/sparsity/<path>``. Costs about one matrix product of 256 units a site.
        shifted: names of validation loaders with shifted data, and their index, such as
            ``{"fog": 1}``: ``overfit/robustness/fog/<metric>`` is their gap to the first loader.
        keep: callbacks that lend the model other weights for validation, beside Lightning's
            `WeightAveraging`: their validation hooks run for the probe too.
        seed: of the choice of samples and of everything random in the probe's evaluation.

    Attributes:
        history: a row for each validation: a dict of plain numbers by logged name, with ``epoch``,
            ``step`` and ``rate`` (the mean dropout rate, read back). It goes on where the same
            trainer fits some epochs more, and begins anew in another one.
        verdict: the `Verdict` so far, or None.
        monitor: the watched key, once it is known.
        seconds: what the probe has cost.

    Raises:
        ValueError: at the first validation that logs (the sanity check counts), if ``monitor`` is
            not logged; at the start, if several training loaders leave open which one to probe, or
            the trainer has a second monitor.
        RuntimeError: at the start, if ``validation_step`` cannot read a training batch, or if this
            Lightning's inside is not as the probe knows it.

    Example:
        >>> OverfittingMonitor("val_loss").state_key
        "OverfittingMonitor[monitor='val_loss', mode='min']"
    """

    def __init__(
        self,
        monitor: str | None = None,
        mode: str = "min",
        probe: Any = 0.1,
        *,
        every: int = 1,
        noise: bool = True,
        units: str | Iterable[str] | None = None,
        shifted: Mapping[str, int] | None = None,
        keep: Iterable[Any] = (),
        seed: int = 0,
    ) -> None:
        self.monitor = checked_monitor(monitor)
        self.mode = check_choice("mode", mode, ("min", "max"))
        self.every = check_count("every", every)
        self.history: list[Row] = []
        self.verdict: Verdict | None = None
        self._probe = Probe(probe, seed, keep)
        self._asked = (monitor, mode)
        self._wants_noise = noise
        self._wants_units = None if units is None else as_patterns(units, "units")
        self._shifted = rows.checked_loaders(shifted)
        self._noise: Noise | None = None
        self._units: Units | None = None
        self._known = False
        self._lost = False
        self._validations = 0

    @property
    def seconds(self) -> float:
        """Seconds spent on the probe in this process."""
        return self._probe.seconds

    @property
    @override
    def state_key(self) -> str:
        return f"OverfittingMonitor[monitor={self._asked[0]!r}, mode={self._asked[1]!r}]"

    @override
    def state_dict(self) -> dict[str, Any]:
        return plain_state(
            history=[dict(row) for row in self.history],
            validations=self._validations,
            monitor=self.monitor,
            mode=self.mode,
            probe=self._probe.mark,
        )

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        with reading(state_dict, type(self).__name__) as state:
            self.history = [dict(row) for row in state["history"]]
            self._validations = int(state["validations"])
            self.monitor, self.mode = state["monitor"], state["mode"]
            self._probe.mark = state.get("probe")  # of a version that kept none: not known
            if self.monitor is not None and any(self.monitor in row for row in self.history):
                _, self.verdict = rows.judged(self.history, self.monitor, self.mode)

    @override
    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage == "fit":
            check_lightning(trainer)
            refuse_second(trainer, OverfittingMonitor)
            trainer.callbacks = in_front(trainer, self)
            self.monitor, self.mode = self._asked
            self._known, self._lost = False, False
            if trainer.global_step == 0:  # else the same trainer fits some epochs more
                self.history, self.verdict, self._validations = [], None, 0
                self._probe.mark = None

    @override
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if not validation_will_run(trainer, progress(trainer).batches_planned):
            self._warn("No validation will run, so overfitting is not measured: give a val loader.")
            return
        self._noise = self._find_noise(pl_module)
        if self._wants_units is not None:
            sites = self._noise.sites if self._noise is not None else SiteList()
            self._units = Units(sites, self._wants_units)
        self._probe.start(trainer, pl_module)
        if told := stale_between(trainer, self.every):
            self._warn(told)

    @override
    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self._probe.observe(batch)

    @override
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if self._is_due(trainer):
            self._probe.before_validation(pl_module)

    @override
    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if batch_idx == 0 and self._is_due(trainer):
            self._probe.during_validation(pl_module)

    @override
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.state.fn != "fit":
            return
        validation = merged(validation_logged(trainer), trainer.world_size)
        self._resolve(trainer, validation)
        if trainer.sanity_checking:
            return
        row: Row = {**validation, "epoch": trainer.current_epoch, "step": trainer.global_step}
        if self._noise is not None:
            row["rate"] = self._noise.rate
        if self._is_due(trainer):
            found = rows.measured(validation, self._measure(trainer, pl_module))
            self._look_for_gap(trainer, validation, found)
            row |= found
        row |= rows.robustness(validation, self._shifted)
        self._validations += 1
        self.history.append(row)
        row |= self._judge(validation)
        ours = {k: v for k, v in row.items() if k.startswith("overfit/")}
        publish(trainer, ours, rows.PASSING)
        send(trainer, {**ours, "epoch": row["epoch"]}, validation_step_count(trainer))

    @override
    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        if self.verdict is not None and trainer.is_global_zero:
            show.tell(trainer, self.verdict)

    def summary(self) -> str:
        """Return what was found, as text: the verdict with its reasons, and the latest figures.

        Example:
            >>> OverfittingMonitor().summary()
            'Nothing was measured yet.'
        """
        return show.summary(self.history, self.monitor, self.verdict)

    def plot(self, ax: "Axes | None" = None) -> "tuple[Figure, Axes]":
        """Draw the watched metric on validation and probe, the gap between them and the onset.

        Args:
            ax: where to draw; a new figure if left out.

        Returns:
            Figure and axes.
        """
        return show.plot(self.history, self.monitor, ax)

    def _resolve(self, trainer: Any, validation: Mapping[str, float]) -> None:
        """Find the watched key at the first validation."""
        if self._known or (trainer.sanity_checking and not validation):
            return  # some log only when it is none of the sanity check
        self._known = True
        rows.check_numbers(self._shifted, len(val_loaders(trainer)))
        found = watched(trainer, *self._asked, validation)
        if found is not None:
            self.monitor, self.mode = found
        else:
            self._warn("Validation logs nothing: there is no metric to measure overfitting by.")

    def _find_noise(self, module: Any) -> Noise | None:
        try:
            return Noise(module)
        except Exception as error:  # what cannot be read is not measured; training goes on
            self._warn(f"The model's dropout was not found ({error}): no inflation, no rate.")
            return None

    def _measure(self, trainer: Any, module: Any) -> Reading:
        noise = self._noise if self._wants_noise else None
        try:
            return self._probe.measure(trainer, module, noise=noise, units=self._units)
        except Exception as error:
            if trainer.world_size > 1:  # the other processes wait for this one
                raise
            self._warn(
                f"The probe failed in epoch {trainer.current_epoch} ({type(error).__name__}: "
                f"{error}): its figures are missing there. Training goes on."
            )
            return Reading()

    def _look_for_gap(self, trainer: Any, validation: Mapping[str, float], found: Row) -> None:
        """Say so, once, if the probe measures other keys, but not the watched one."""
        lost = found and self.monitor in validation and f"overfit/probe/{self.monitor}" not in found
        if lost and not self._lost:
            self._lost = True
            self._warn(unmeasured(self.monitor, len(val_loaders(trainer))))

    def _judge(self, validation: Mapping[str, float]) -> Row:
        if self.monitor is not None and self.monitor in validation:
            row, self.verdict = rows.judged(self.history, self.monitor, self.mode)
            return row
        if self.monitor is not None and not self._lost:
            self._lost = True
            self._warn(
                f"Validation does not log {self.monitor!r} any more; the verdict stands still. "
                f"Logged: {', '.join(map(repr, validation)) or 'nothing'}."
            )
        return {}

    def _is_due(self, trainer: Any) -> bool:
        fitting = trainer.state.fn == "fit" and not trainer.sanity_checking
        return bool(fitting and self._validations % self.every == 0)

    @staticmethod
    def _warn(message: str) -> None:
        warnings.warn(message, ThinnedWarning, stacklevel=3)
