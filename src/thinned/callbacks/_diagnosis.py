"""Diagnoses a model once, when training begins."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from thinned._checks import check_choice, one_or_many
from thinned._log import logger
from thinned.diagnosis import Finding, all_rules, diagnose
from thinned.schedules import Schedule

from ._example import first_rows, inputs_of, no_logging, runnable_part
from ._lightning.trainer import all_callbacks
from ._rates.callback import RateCallback

ROWS = 64


class Diagnosis(pl.Callback):
    """Report what is wrong with a model's dropout, right before the first training step.

    It is :func:`thinned.diagnose` with what the trainer knows: size of the data, ranks, strategy,
    weight decay, modes. It runs once per fit, on all ranks, after every other callback has set up,
    and leaves model and generators as they were. What it finds is in ``findings``, in the terminal
    and in the run record.

    Args:
        ignore: ids of rules to leave out.
        example_input: what to call the model with; without it the module's
            ``example_input_array``, else the inputs of the first training batch.
        raise_on: stop before the first step at findings of this severity or worse
            (``"error"``, ``"warning"``, ``"advice"``); None never stops.

    Attributes:
        findings: what was found, the worst first; empty before the first batch.

    Raises:
        ValueError: for an unknown rule or severity at once; at the first batch, if ``raise_on`` is
            given and something that bad was found.

    Example:
        >>> import pytorch_lightning as pl
        >>> trainer = pl.Trainer(callbacks=[Diagnosis(raise_on="error")], logger=False)
    """

    def __init__(
        self,
        ignore: Iterable[str] = (),
        *,
        example_input: Any = None,
        raise_on: str | None = None,
    ) -> None:
        super().__init__()
        self.ignore = tuple(
            check_choice("ignore", name, all_rules()) for name in one_or_many(ignore)
        )
        self.example_input = example_input
        self.raise_on = raise_on and check_choice("raise_on", raise_on, STOPS)
        self.findings: list[Finding] = []
        self._done = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin anew: another fit may be of another model."""
        self.findings, self._done = [], False

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Diagnose at the first batch: all callbacks have done their work in ``on_train_start``."""
        if self._done:
            return
        self._done = True
        context = _trainer_context(trainer, pl_module)  # a collective: all ranks, all together
        part = runnable_part(pl_module)
        example = _example(self.example_input, pl_module, part, batch)
        if not _may_run(trainer):
            example = None
        with no_logging(pl_module), trainer.precision_plugin.forward_context():
            self.findings = diagnose(
                pl_module,
                None if example is None else trainer.precision_plugin.convert_input(example),
                ignore=self.ignore,
                runs=part,
                **context,
            )
        self._tell()

    def _tell(self) -> None:
        for finding in self.findings:
            say = logger.warning if finding.severity in ("error", "warning") else logger.info
            say("%s", finding)
        if not self.findings:
            logger.info("diagnosis: nothing found")
        if self.raise_on is None:
            return
        bad = STOPS[: STOPS.index(self.raise_on) + 1]
        stopping = [finding for finding in self.findings if finding.severity in bad]
        if stopping:
            listed = "\n".join(str(finding) for finding in stopping)
            msg = f"Stopped before the first step, since raise_on={self.raise_on!r}:\n{listed}"
            raise ValueError(msg)


STOPS = ("error", "warning", "advice")


def _trainer_context(trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
    """What the trainer knows, in the words of `thinned.diagnosis.Context`."""
    decays = [g.get("weight_decay", 0.0) for o in trainer.optimizers for g in o.param_groups]
    return {
        "dataset_size": _dataset_size(trainer),
        "world_size": trainer.world_size,
        "strategy": getattr(trainer.strategy, "strategy_name", None),
        "find_unused_parameters": getattr(trainer.model, "find_unused_parameters", None),
        "rank_generator_digests": _digests(trainer, pl_module),
        "at_fit_start": True,
        "weight_decay": max(map(float, decays), default=None),
        "scheduled": _rates_move(trainer),
        "rate_ranges": _rate_ranges(trainer),
    }


def _dataset_size(trainer: pl.Trainer) -> int | None:
    """Number of training examples; None where the data set does not say."""
    loaders = tree_leaves(trainer.train_dataloader)
    try:
        return sum(len(loader.dataset) for loader in loaders) or None
    except (AttributeError, TypeError):  # an iterable data set has no length
        return None


def _digests(trainer: pl.Trainer, pl_module: pl.LightningModule) -> tuple[str, ...] | None:
    """A fingerprint of each rank's generators: masks come from that of the model's device."""
    if trainer.world_size < 2:
        return None
    on_gpu = pl_module.device.type == "cuda"
    state = torch.cuda.get_rng_state(pl_module.device) if on_gpu else torch.get_rng_state()
    digest = hashlib.sha256(state.numpy().tobytes()).digest()[:7]  # fits an int64
    number = torch.tensor(int.from_bytes(digest, "big"), device=pl_module.device)
    gathered: Any = pl_module.all_gather(number)
    return tuple(f"{int(value):014x}" for value in gathered.flatten())


def _rates_move(trainer: pl.Trainer) -> bool:
    """Whether a callback moves rates during the training: it has some, and no plan to hold them."""
    return not all(_holds(getattr(callback, "plan", None)) for callback in _setters(trainer))


def _rate_ranges(trainer: pl.Trainer) -> dict[str, tuple[float, float]] | None:
    """The rates between which sites are moved, by path; None where a callback is not ours."""
    found: dict[str, tuple[float, float]] = {}
    for callback in _setters(trainer):
        if not isinstance(callback, RateCallback):
            return None
        found |= callback.ranges()
    return found


def _setters(trainer: pl.Trainer) -> list[Any]:
    return [c for c in all_callbacks(trainer) if getattr(c, "rates", None) is not None]


def _holds(plan: Any) -> bool:
    schedules = list(plan.values()) if isinstance(plan, Mapping) else []
    held = [isinstance(each, Schedule) and not each.needs_progress for each in schedules]
    return bool(held) and all(held)


def _may_run(trainer: pl.Trainer) -> bool:
    """Whether a forward outside of the strategy is possible: not where parameters are sharded."""
    name = str(getattr(trainer.strategy, "strategy_name", "") or "")
    return not name.startswith(("fsdp", "deepspeed", "model_parallel"))


def _example(given: Any, pl_module: pl.LightningModule, part: nn.Module | None, batch: Any) -> Any:
    """What to call the model with; of a batch, at most `ROWS` rows."""
    if given is None:
        given = pl_module.example_input_array
    return inputs_of(first_rows(batch, ROWS), pl_module, part) if given is None else given
