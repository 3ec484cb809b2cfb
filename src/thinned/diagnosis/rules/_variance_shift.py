"""Dropout before batch norm: the variance that the norm learns is not the one it meets later."""

import contextlib
import dataclasses
import statistics
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from thinned._generators import seed_everything
from thinned.diagnosis import _ops
from thinned.diagnosis._context import Context, batch_norms
from thinned.diagnosis._flow import Node
from thinned.diagnosis._neutral import hooked
from thinned.diagnosis._rule import Hit, rule

REPEATS = 8
TOLERATED = 0.05  # a choice of ours: in wide networks the shift is small and harmless (Li 2019)
ERRORS = 3.0


@dataclasses.dataclass(slots=True)
class Shift:
    """The ratio of training to evaluation variance of what a batch norm is given."""

    ratio: float
    error: float

    @property
    def matters(self) -> bool:
        """It is larger than what does no harm, and than what chance makes."""
        return abs(self.ratio - 1.0) > max(TOLERATED, ERRORS * self.error)


@rule(
    "dropout-before-batch-norm",
    severity="warning",
    reference="Li, Chen, Hu, Yang 2019, CVPR, https://arxiv.org/abs/1801.05134",
    better_with_input=True,
)
def dropout_before_batch_norm(context: Context) -> Iterator[Hit]:
    """Dropout whose noise reaches a batch norm: variances measured with and without it differ."""
    reached = list(_reached(context))
    if not reached:
        return
    shifts = measure(context)
    for drop, norm in reached:
        shift = shifts.get(norm.path)
        if shift is not None and not shift.matters:
            continue
        seen = f"{drop.path or drop.where} (rate {drop.rate:g}) feeds {norm.path}"
        if shift is None:
            measured = "not measured: it takes an example input of several rows"
        else:
            measured = (
                f"variance of the input of {norm.path}: {shift.ratio:.2f} times as large in "
                f"training as in evaluation (+- {shift.error:.2f})"
            )
        yield Hit(
            path=drop.path,
            message=f"Dropout feeds the batch norm {norm.path!r}. It learns the variance of the "
            "noisy input and then normalises a quieter one in evaluation, at each such layer anew.",
            fix="Order norm -> activation -> dropout, and dropout after the last batch norm only; "
            f'now: thinned.set_rate(model, 0.0, include="{drop.path}")',
            evidence=(seen, measured),
        )


def _reached(context: Context) -> Iterator[tuple[Node, Node]]:
    """Each dropout with the first batch norm that its noise reaches, no other norm between."""
    for norm in context.flow.nodes:
        if norm.op not in _ops.BATCH_NORM or _is_frozen(context, norm):
            continue
        for drop in context.flow.before(norm, lambda n: not n.drops and n.op not in _ops.NORM):
            if drop.drops:
                yield drop, norm


def _is_frozen(context: Context, norm: Node) -> bool:
    module = context.modules.get(norm.path)
    return module is not None and context.model.training and not module.training


def measure(context: Context) -> dict[str, Shift]:
    """Run with the dropout off and on, all else equal, and compare what batch norms are given.

    Both times the norms use the statistics of the batch, so that only dropout makes a difference;
    stochastic depth and the like are off.
    """
    if context.training is None:
        return {}
    norms = {context.paths[id(m)]: m for m in batch_norms(context.model) if id(m) in context.paths}
    others = [s.owner for s in context.sites if s.kind != "dropout"]
    quiet: dict[str, list[float]] = {}
    seen: dict[str, list[float]] = {path: [] for path in norms}

    def watch(path: str) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            seen[path].append(_variance(args[0]))

        return hook

    hooks = (m.register_forward_pre_hook(watch(path)) for path, m in norms.items())
    with (
        contextlib.suppress(ValueError),  # a single value per channel has no variance
        context.running(training=False) as call,
        hooked(hooks),
    ):
        seed_everything(0)
        _train_only(norms.values())
        call()
        quiet, seen = seen, {path: [] for path in norms}
        context.model.train()
        for owner in others:
            if isinstance(owner, nn.Module):
                owner.eval()
        for _ in range(REPEATS):
            call()
    return {
        path: _shift(quiet[path][0], noisy)
        for path, noisy in seen.items()
        if noisy and quiet.get(path) and quiet[path][0] > 0
    }


def _train_only(modules: Any) -> None:
    for module in modules:
        module.train()


def _variance(value: Tensor) -> float:
    """Mean over the channels of the variance of each."""
    axes = [axis for axis in range(value.dim()) if axis != 1]
    return float(value.detach().float().var(dim=axes, unbiased=False).mean())


def _shift(quiet: float, noisy: list[float]) -> Shift:
    ratios = [value / quiet for value in noisy]
    error = statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else 0.0
    return Shift(statistics.fmean(ratios), error)
