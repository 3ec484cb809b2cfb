"""Evaluates and predicts with dropout on, inside of Lightning's own loops."""

import contextlib
import inspect
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from thinned._checks import check_choice, check_count, one_or_many
from thinned._errors import NoEffectError
from thinned.callbacks._mc_scores import Scores, target_of
from thinned.uncertainty import Prediction, active_sites, mc_predict, sampling

from ._lightning.trainer import all_callbacks

STAGES = ("predict", "test", "validate")
MASKS = ("row", "batch", "pass")


class MCDropout(pl.Callback):
    r"""Make predictions of many masks in ``predict``, ``test`` and ``validate``.

    Lightning switches dropout off there, whatever ``model.train()`` was called before. With this
    callback ``self(x)`` in the module's own step returns the Monte Carlo prediction: of a
    classifier :math:`\log \bar p`, whose softmax is the mean of the samples' probabilities, and of
    everything else the mean. So the metrics that the step logs are those of the ensemble, and no
    line of the module changes. The spread of each batch is kept in ``predictions``.

    With ``samples=1`` the sites are just on, and each call of ``self(x)`` is one sample: for a step
    that loops itself.

    Validation inside of a fit stays as it is. Only stochastic sites are on, modes are put back
    when the stage ends or fails. Each ``self(x)`` costs one plain forward besides the samples.

    Where a batch of ``test`` or ``validate`` holds integer classes as its second entry (or under a
    name such as ``"target"``), the plain and the sampled probabilities are scored beside each
    other, and `RunRecord` shows both in the report: a reliability diagram and a risk-coverage plot.

    Args:
        samples: number of samples of each ``self(x)``.
        stages: in which of the trainer's ``predict``, ``test`` and ``validate``.
        include: globs on dotted paths of what is on, or ``"last"``: the last site alone.
        masks: who shares one. ``"row"``: nobody. ``"batch"``: all rows of a batch.
            ``"pass"``: sample ``t`` has the same mask for all rows of the whole pass over the data,
            on every process: as one network of an ensemble would have, which joint scores need.
        seed: draw from this seed in each batch, and put the global generators back.
        chunk: samples that are predicted at a time, see `thinned.mc_predict`.
        classes: whether the outputs are logits, see `thinned.mc_predict`.
        keep_samples: keep all samples in ``predictions``.

    Attributes:
        predictions: one `Prediction` for each ``self(x)`` of the last stage, on the CPU.
        calibration: scores of the last ``test`` or ``validate``, ``plain`` and ``sampled``:
            ``ece``, ``nll``, ``brier``, ``aurc`` and what the plots show; None without classes.

    Raises:
        NoEffectError: if nothing is stochastic, if a step returns something without a call of
            ``self(x)`` so far (one that returns None skips its batch), or if no step calls it.
        TypeError: if ``forward`` returns something else than a tensor.
        ValueError: for an unknown stage or kind of ``masks``, no sample, or a wrong seed, at once;
            when a stage starts, if another `MCDropout` is for it too.

    Example:
        >>> import pytorch_lightning as pl
        >>> sure = MCDropout(samples=50, include="last")
        >>> trainer = pl.Trainer(callbacks=[sure], logger=False)
        >>> # trainer.predict(model, loader); torch.cat([p.entropy for p in sure.predictions])
    """

    def __init__(
        self,
        samples: int = 20,
        *,
        stages: str | Iterable[str] = STAGES,
        include: str | Iterable[str] = "*",
        masks: str = "row",
        seed: int | None = None,
        chunk: int | None = None,
        classes: bool | None = None,
        keep_samples: bool = False,
    ) -> None:
        super().__init__()
        self.samples = check_count("samples", samples, what="a number of samples")
        self.stages = tuple(check_choice("stages", stage, STAGES) for stage in one_or_many(stages))
        self.include = include
        self.masks = check_choice("masks", masks, MASKS)
        self.seed = None if seed is None else check_count("seed", seed, 0)
        self.options: dict[str, Any] = {
            "masks": "row" if masks == "row" else "batch",
            "chunk": chunk,
            "classes": classes,
            "keep_samples": keep_samples,
        }
        self.predictions: list[Prediction] = []
        self.calibration: dict[str, Any] | None = None
        self._scores: Scores | None = None
        self._unscored: list[tuple[Tensor, Prediction]] = []
        self._of_pass: int | None = None
        self._open = contextlib.ExitStack()
        self._waits = self._inside = False

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin, after Lightning has switched to evaluation."""
        self._begin(trainer, pl_module)

    on_test_start = on_validation_start = on_predict_start

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Refuse a step that did not ask for a prediction."""
        self._check_called(outputs)
        self._unscored = []

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Refuse a step that did not ask for a prediction, and score what it got."""
        self._check_called(outputs)
        self._score(pl_module, batch)

    on_validation_batch_end = on_test_batch_end

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sum up the scores, before others write them."""
        if self._scores is not None:
            self.calibration = self._scores.compute()

    on_validation_epoch_end = on_test_epoch_end

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put everything back; refuse a stage in which no step asked for a prediction."""
        never = self._waits
        self._end()
        if never:
            raise _not_called()

    on_test_end = on_validation_end = on_predict_end

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Put everything back."""
        self._end()

    def _begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn not in self.stages:
            return  # not asked for, or the validation inside of a fit
        self._end()
        _refuse_second(trainer)
        self.predictions = []
        self.calibration = None
        if self.masks == "pass":
            own = int(torch.randint(2**53, ())) if self.seed is None else self.seed
            self._of_pass = trainer.strategy.broadcast(own)
        sites = active_sites(pl_module, self.include)
        if self.samples == 1:
            self._open.enter_context(sampling(pl_module, sites))
        else:
            handle: RemovableHandle = pl_module.register_forward_hook(
                self._predict, with_kwargs=True
            )
            self._open.callback(handle.remove)
            self._waits = True

    def _end(self) -> None:
        self._open.close()
        self._waits = self._inside = False
        self._scores, self._unscored = None, []

    def _predict(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> Tensor | None:
        """Give the prediction of many masks in the place of the plain output."""
        if self._inside:
            return None
        if not isinstance(output, Tensor):
            msg = f"Expected forward to return a tensor, got {type(output).__name__}. Use "
            msg += "MCDropout(samples=1), or call thinned.mc_predict in the step."
            raise TypeError(msg)
        named = inspect.signature(module.forward).bind(*args, **kwargs) if kwargs else None
        self._waits, self._inside = False, True
        try:
            found = mc_predict(
                module,
                args if named is None else dict(named.arguments),
                self.samples,
                include=self.include,
                seed=self._seed_of_batch(),
                **self.options,
            )
        finally:
            self._inside = False
        self.predictions.append(found.to("cpu"))
        self._unscored.append((output, found))
        return found.output.to(output.dtype)

    def _seed_of_batch(self) -> int | None:
        if self.masks == "pass":
            return self._of_pass
        if self.masks == "batch" and self.seed is not None:
            return self.seed + len(self.predictions)  # the next batch has other masks
        return self.seed

    def _score(self, pl_module: pl.LightningModule, batch: Any) -> None:
        """Score what the step got, if that was one prediction and the batch holds its classes."""
        unscored, self._unscored = self._unscored, []
        if len(unscored) != 1:
            return
        ((plain, found),) = unscored
        target = target_of(batch, found)
        if target is not None:
            self._scores = self._scores or Scores(pl_module.device)
            self._scores.update(plain, found, target)

    def _check_called(self, outputs: Any) -> None:
        """Refuse a step that returned something without asking; one with None may only skip."""
        if self._waits and outputs is not None:
            raise _not_called()


def _refuse_second(trainer: pl.Trainer) -> None:
    """Refuse two in one stage: each sample of one would be a prediction of the other."""
    stage: Any = trainer.state.fn
    found = [c for c in all_callbacks(trainer) if isinstance(c, MCDropout) and stage in c.stages]
    if len(found) > 1:
        msg = f"Expected one MCDropout for {stage.value}, got {len(found)}. "
        msg += "Give each its own `stages`."
        raise ValueError(msg)


def _not_called() -> NoEffectError:
    msg = "Expected the step to call self(...), found that it does not, so no prediction "
    msg += "was made. Call the module's forward there, or use MCDropout(samples=1)."
    return NoEffectError(msg)
