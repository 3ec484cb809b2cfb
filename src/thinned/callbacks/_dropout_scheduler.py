"""Moves the rates of a model along their schedules while it trains."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import pytorch_lightning as pl

from thinned._checks import check_choice, check_number
from thinned._errors import ThinnedWarning
from thinned._log import logger
from thinned.schedules import Schedule, as_profile, as_schedule
from thinned.surgery import as_patterns
from thinned.surgery._sites.site_list import checked_kinds

from ._lightning.clock import Clock
from ._lightning.plan import Progress
from ._lightning.ranks import decorrelate
from ._lightning.state import plain_state, read_state
from ._lightning.trainer import progress
from ._rates.callback import RateCallback, as_length
from ._rates.groups import make_groups


class DropoutScheduler(RateCallback):
    r"""Set dropout rates by a schedule, at every step, epoch or n batches.

    The rate is a pure function of progress: batches done over batches planned. So it is the same
    after any resume, and the last step has the schedule's end; the epoch that
    `StochasticWeightAveraging` adds trains nothing and keeps it. The rates are logged as
    ``dropout/<group>/rate``, as read back from the modules. When training ends they stay as the
    schedule left them; evaluation does not depend on them.

    Args:
        schedule: a rate, a name (``"linear"``), a schedule, a function of progress; or a mapping
            from pattern to one of these, where the first pattern that matches a site wins. What no
            pattern matches keeps its rate. A key may name its group: ``"name=pattern"``.
        include: globs on dotted paths below the LightningModule, such as ``"backbone.*"``.
        exclude: globs of what to leave out.
        kinds: a kind, several, or ``"all"``. Without it, and with ``include="*"``, only sites of
            the kind ``dropout`` are set.
        every: when the rate moves: ``"step"`` (each training batch), ``"epoch"`` or a number of
            batches. The last unit has the end rate, also where it is the only one.
        profile: how a group's rate varies over depth: None, ``"linear_depth"``, ``"by_width"`` or a
            profile.
        total_steps: length of the training in batches, where the trainer's limits do not say it, or
            to overrule them. Past it the rate stays.
        decorrelate_ranks: where there is more than one rank, fold the rank into torch's generators
            when training starts: ``seed_everything`` seeds all ranks alike, and then they would
            draw the same masks.

    Attributes:
        groups: name of each group to its sites, once fit has begun.
        rates: name of each group to its rate, read back from the modules.

    Raises:
        NoEffectError: when fit starts, if a pattern matches no site.
        ValueError: for a wrong rate at once; when fit starts, if another callback or group sets one
            of the sites too; when training starts, if its length is not known and a schedule needs
            it.

    Example:
        >>> import pytorch_lightning as pl
        >>> from thinned.schedules import Linear
        >>> scheduler = DropoutScheduler({"backbone.*": Linear(0.0, 0.3), "head.*": 0.5})
        >>> trainer = pl.Trainer(callbacks=[scheduler], logger=False)
    """

    def __init__(
        self,
        schedule: Any,
        include: str | Iterable[str] = "*",
        exclude: str | Iterable[str] = (),
        *,
        kinds: str | Iterable[str] | None = None,
        every: str | int = "step",
        profile: Any = None,
        total_steps: int | None = None,
        decorrelate_ranks: bool = True,
    ) -> None:
        super().__init__()
        chosen = as_patterns(include)
        self.plan: dict[str, Schedule] = _as_plan(schedule, chosen)
        self.include = chosen if isinstance(schedule, Mapping) else ("*",)
        self.exclude = as_patterns(exclude, "exclude")
        self.kinds = checked_kinds(kinds)
        self.every = _as_unit(every)
        self.profile = as_profile(profile)
        self.total_steps = as_length(total_steps)
        self.decorrelate_ranks = decorrelate_ranks
        self.only: frozenset[str] | None = None  # paths, where somebody has chosen the sites
        self._clock = Clock(self.total_steps, self.every)
        self._at: float | None = None
        self._planned: int | None = None
        self._planned_before: int | None = None

    @property
    def state_key(self) -> str:
        """What tells this scheduler from others in a checkpoint: the sites that it asks for."""
        return self._generate_state_key(
            patterns=list(self.plan),
            include=list(self.include),
            exclude=list(self.exclude),
            kinds=self.kinds,
        )

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the sites, after all set-up and edits, whatever the order of the callbacks."""
        super().on_fit_start(trainer, pl_module)
        self._at = None
        self._clock = Clock(self.total_steps, self.every)
        if trainer.global_step > 0 and self._planned_before is None:
            self._planned_before = self._planned  # the same trainer fits some epochs more
        if self.only is None:  # else whoever chose says it
            for group in self._groups:
                logger.info("%s", group)
        for schedule in self.plan.values():
            if schedule.needs_progress and not any(schedule(k / 100) for k in range(101)):
                msg = f"{schedule} drops nothing: its rate is 0 from beginning to end. "
                msg += "Give it a rate above 0; a control without dropout is schedule 0.0."
                warnings.warn(msg, ThinnedWarning, stacklevel=2)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check that the length of the training is known, and set the first rates."""
        if self.decorrelate_ranks:
            decorrelate(trainer)
        now = progress(trainer, self.total_steps, self.every)
        if now.fraction is None and any(group.schedule.needs_progress for group in self._groups):
            raise self._no_length(trainer)
        self._set(now)

    def state_dict(self) -> dict[str, Any]:
        """The length that the rates followed; the rates themselves follow from progress."""
        return plain_state(batches_planned=self._planned, rates=self.rates)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the length before, to say so if there is another one now."""
        self._planned_before = read_state(state_dict, type(self).__name__).get("batches_planned")

    def _find(self, model: pl.LightningModule) -> None:
        self._groups = make_groups(
            model, self.plan, self.include, self.exclude, self.kinds, self.profile, self.only
        )

    def _move(self, trainer: pl.Trainer) -> None:
        now = self._clock(trainer)
        if self._planned_before is not None:
            self._compare_lengths(now)
        self._set(now)

    def _set(self, now: Progress) -> None:
        self._planned = now.batches_planned
        at = 0.0 if now.fraction is None else now.fraction
        if at != self._at:
            for group in self._groups:
                group.move(at)
            self._at = at

    def _compare_lengths(self, now: Progress) -> None:
        before, self._planned_before = self._planned_before, None
        if now.batches_planned is None or now.batches_planned == before:
            return
        warnings.warn(
            f"Resumed after {now.batches_done} batches with another length of training: "
            f"{now.batches_planned} batches, {before} before. The rates follow the new length. "
            "To go on with the old one, set the same limits or total_steps.",
            ThinnedWarning,
            stacklevel=2,
        )


def _as_plan(schedule: Any, include: tuple[str, ...]) -> dict[str, Schedule]:
    """Return the schedule of each pattern."""
    if not isinstance(schedule, Mapping) or "class_path" in schedule:  # what LightningCLI left
        made = as_schedule(schedule)
        return dict.fromkeys(include, made)
    if not schedule:
        msg = "Expected `schedule` to map patterns to schedules, got an empty mapping. "
        raise ValueError(msg + "Write {'backbone.*': 0.1}.")
    patterns = as_patterns(schedule, "schedule")
    return {key: as_schedule(schedule[key]) for key in patterns}


def _as_unit(every: Any) -> str | int:
    """Return the unit in which rates move."""
    if isinstance(every, str):
        return check_choice("every", every, ("step", "epoch"))
    what = "'step', 'epoch' or a whole number of batches"
    number = check_number("every", every, 1, 1e15, what=what)
    if number != int(number):
        msg = f"Expected `every` to be {what}, got {every!r}. Round it."
        raise ValueError(msg)
    return int(number)
