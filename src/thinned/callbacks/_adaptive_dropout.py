"""Finds the dropout rate while a model trains, from the losses that it has anyway."""

import dataclasses
from collections.abc import Iterable
from typing import Any, cast

import pytorch_lightning as pl

from thinned._checks import check_rate
from thinned._log import logger
from thinned.schedules import Linear, Step, as_profile
from thinned.surgery import as_patterns
from thinned.surgery._sites.site_list import checked_kinds

from ._adaptive.highest import highest as highest_for
from ._adaptive.law import AdaptiveLaw, AdaptiveState
from ._adaptive.replay import replay
from ._adaptive.row import seen_by, tell
from ._adaptive.temperature import Temperature
from ._adaptive.two_losses import TwoLosses
from ._lightning.length import planned
from ._lightning.ranks import decorrelate
from ._lightning.state import plain_state, reading
from ._lightning.trainer import may_stop_early, progress, renews_batch_norm
from ._monitor.keys import in_front
from ._probe import lightning as inside
from ._probe.asked import checked_monitor
from ._rates.callback import RateCallback
from ._rates.groups import make_groups


class AdaptiveDropout(RateCallback):
    """Find the dropout rate in one run: no rate to choose, and no sweep.

    It begins with a rate that suits the epochs, the classes and how far weights can move (0.5 at
    most, if EarlyStopping makes the end uncertain). Each validation then says whether the network
    is surer than it is right, by the temperature that its outputs would need, and the rate of all
    chosen sites moves; see ``docs/adaptive.md`` for the law. That is read off your own validation;
    only where the loss is not that of the plain outputs and labels (label smoothing, a loss of your
    own) does it run twice more. Every decision is logged, is in ``history``, is resumed from a
    checkpoint, and can be replayed. On ten small tasks it ended 1.0% below the best constant rate's
    test loss on average, 2.9% above it at worst.

    Validation data that a rate was fitted to is not clean any more: report on a test split. To keep
    the validation split clean too, give a control split as a second validation loader and name it,
    ``monitor="val_loss/dataloader_idx_1"``.

    With manual optimization ``training_step`` has to return its loss, which Lightning itself does
    not ask for.

    Args:
        monitor: the validation loss, of the same kind as the training loss. None takes the loss
            that EarlyStopping or ModelCheckpoint minimize, else the one logged key that contains
            "loss".
        include: globs on dotted paths below the LightningModule, such as ``"backbone.*"``. All
            sites get one rate; each pattern is a group with its own logged name.
        exclude: globs of what to leave out.
        kinds: a kind, several, or ``"all"``. Without it, and with ``include="*"``, only sites of
            the kind ``dropout`` are set.
        profile: how the rate varies over depth: None, ``"linear_depth"``, ``"by_width"`` or a
            profile.
        loss: the entry of what ``training_step`` returns to compare with; for a training loss that
            holds more than the validation loss does (label smoothing, penalties, mixed samples),
            return both.
        highest: the highest rate, in [0, 1], where high ones must not even be tried (a pretrained
            network); None is 0.95, 0.8 with SGD, and 0.5 on stacked recurrent layers.
        decorrelate_ranks: where there is more than one rank, fold the rank into torch's generators
            when training starts; see :class:`DropoutScheduler`.

    Attributes:
        history: a row for each decision: ``epoch``, ``step``, ``batches`` done, ``monitor``,
            ``train_loss``, ``val_loss``, ``log_temperature`` and ``chance_loss`` (or None), the
            ``rate`` that gave them, the ``next_rate``, and ``at_cap``: whether that is the highest.
        rate: the rate that holds now.
        groups: name of each group to its sites, once fit has begun.
        rates: name of each group to its rate, read back from the modules.

    Raises:
        NoEffectError: when fit starts, if a pattern matches no site.
        ValueError: when training starts, if no validation will run, or another callback sets a site
            too; at the first validation (the sanity check counts), if it does not log ``monitor``;
            at the first batch, if ``training_step`` does not return its loss.

    Example:
        >>> import pytorch_lightning as pl
        >>> adaptive = AdaptiveDropout("val_loss")
        >>> trainer = pl.Trainer(callbacks=[adaptive], logger=False)
    """

    def __init__(
        self,
        monitor: str | None = None,
        include: str | Iterable[str] = "*",
        exclude: str | Iterable[str] = (),
        *,
        kinds: str | Iterable[str] | None = None,
        profile: Any = None,
        loss: str = "loss",
        highest: float | None = None,
        decorrelate_ranks: bool = True,
    ) -> None:
        super().__init__()
        self.include = as_patterns(include)
        self.exclude = as_patterns(exclude, "exclude")
        self.kinds = checked_kinds(kinds)
        self.profile = as_profile(profile)
        self.loss = loss
        self.decorrelate_ranks = decorrelate_ranks
        self.highest = None if highest is None else check_rate("highest", highest)
        self.law = AdaptiveLaw() if highest is None else AdaptiveLaw(high=highest)
        self.history: list[dict[str, Any]] = []
        self._asked = checked_monitor(monitor)
        self._state = self.law.begin()
        self._losses = TwoLosses(monitor, loss, type(self).__name__)
        self._temperature = Temperature(type(self).__name__)
        self._loaded: list[list[float]] | None = None
        self._planned: int | None = None
        self._open = False  # whether the end is not certain

    @property
    def monitor(self) -> str | None:
        """The key of the validation loss, once it is known."""
        return self._losses.monitor

    @property
    def rate(self) -> float:
        """The rate that holds now."""
        return self._state.rate

    @property
    def plan(self) -> dict[str, str]:
        """Each pattern, and what its rate follows, in words: for the run record."""
        return dict.fromkeys(self.include, f"adaptive, by {self.monitor or 'the validation loss'}")

    @property
    def state_key(self) -> str:
        """What tells this controller from others in a checkpoint: the sites that it asks for."""
        asked = {"include": list(self.include), "exclude": list(self.exclude), "kinds": self.kinds}
        return self._generate_state_key(monitor=self._asked, **asked)

    def as_schedule(self) -> Step:
        """Return the rates of this run as a schedule, to replay them or to fix them in a config.

        A :class:`DropoutScheduler` with it, in a run of as many batches, sets at each batch the
        rate that was set here.

        Example:
            >>> AdaptiveDropout(highest=0.5).as_schedule()
            Step(rates=(0.5,), at=())
        """
        return replay(self.history, self.rate, self._planned)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Begin anew, unless the same trainer fits some more."""
        if stage != "fit":
            return
        inside.check_lightning(trainer, type(self).__name__)
        cast("Any", trainer).callbacks = in_front(trainer, self)  # decides before a save
        self._losses.begin()
        if trainer.global_step == 0:
            self.history, self._state = [], self.law.begin()
            self._losses.forget()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the sites, after all set-up and edits, whatever the order of the callbacks."""
        super().on_fit_start(trainer, pl_module)
        self._temperature.start(pl_module)
        for name, sites in self.groups.items():
            logger.info("dropout/%s/rate: %s; adapts", name, sites.summary())

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check that a validation will come, and set the first rate."""
        self._planned = progress(trainer).batches_planned
        self._losses.expect(trainer, self._planned)
        self._open = may_stop_early(trainer, inside.validations(trainer, self._planned))
        if self.decorrelate_ranks:
            decorrelate(trainer)
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            self._losses.restore(loaded, trainer.global_rank, trainer.world_size)
        if trainer.global_step == 0 and not self.history:  # also after a search for a rate
            self._begin(trainer)
        self._move(trainer)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Take the batch's loss."""
        if _adapts(trainer):
            self._losses.add(trainer, outputs)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the outputs from now on."""
        if _adapts(trainer):
            self._temperature.before_validation(pl_module, sanity=trainer.sanity_checking)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take the batch's outputs and labels."""
        if _adapts(trainer):
            self._temperature.during_validation(batch, dataloader_idx, self.monitor)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the hooks out before the module's own end: it may copy or save its networks."""
        self._temperature.stop()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Decide on the rate of the batches to come."""
        if not _adapts(trainer):
            return
        found = self._losses.at_validation(trainer)
        if trainer.sanity_checking:
            self._temperature.after_sanity_check()
        if found is None:
            return
        sure = self._temperature.read(trainer, self.monitor or "", found["val_loss"])
        found |= {"log_temperature": sure, "chance_loss": self._temperature.chance_loss}
        now = progress(trainer)
        self._planned = now.batches_planned
        row = seen_by(trainer, now.batches_done, self.monitor, found) | {"rate": self.rate}
        self._state = self.law.step(
            self._state,
            **found,
            progress=None if self._open else now.fraction,
            numbers=self._temperature.numbers,
        )
        row |= {"next_rate": self.rate, "at_cap": self.rate >= self.law.high}
        self.history.append(row)
        tell(trainer, row)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Take the hooks out, if a validation was broken off."""
        super().on_exception(trainer, pl_module, exception)
        self._temperature.stop()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the losses of all ranks."""
        if "callbacks" in checkpoint:  # else it holds weights only
            every = self._losses.of_all_ranks(trainer)
            checkpoint["callbacks"][self.state_key]["losses"] = every

    def state_dict(self) -> dict[str, Any]:
        """What the law remembers, what it has decided, and the losses since."""
        return plain_state(
            law=dataclasses.asdict(self._state),
            monitor=self.monitor,
            history=[dict(row) for row in self.history],
            losses=[self._losses.state()],
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        with reading(state_dict, type(self).__name__) as state:
            self._state = AdaptiveState(**state["law"])
            self._losses.monitor = state["monitor"]
            self.history = [dict(row) for row in state["history"]]
            self._loaded = [list(each) for each in state["losses"]]

    def _find(self, model: pl.LightningModule) -> None:
        if self.highest is None:
            chosen = (self.include, self.exclude, self.kinds)
            high = highest_for(model, *chosen, optimizers=model.trainer.optimizers)
            self.law = AdaptiveLaw(high=high)
        span = Linear(self.law.high, self.law.low)  # for sites that can hold few rates only
        plan = dict.fromkeys(self.include, span)
        self._groups = make_groups(model, plan, ("*",), self.exclude, self.kinds, self.profile)

    def _begin(self, trainer: pl.Trainer) -> None:
        """Choose the first rate, on all ranks alike."""
        seen = self._temperature
        seen.agree(trainer)
        classes, numbers = seen.classes, bool(seen.numbers)
        length = planned(trainer, certain=not self._open)
        self._state = self.law.begin(classes=classes, numbers=numbers, **length._asdict())
        logger.info("dropout begins at %.2f: %s, %s", self.rate, length.words, seen.labels)

    def _move(self, trainer: pl.Trainer) -> None:
        for group in self._groups:
            group.set(self._state.rate)


def _adapts(trainer: pl.Trainer) -> bool:
    """Say whether what a hook sees is of a training: after its last batch nothing is decided."""
    return trainer.state.fn == "fit" and not renews_batch_norm(trainer)
