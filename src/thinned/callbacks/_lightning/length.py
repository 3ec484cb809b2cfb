"""How long a training is, in passes and in how far it can move a weight."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from .trainer import planned_passes, progress


class Length(NamedTuple):
    r"""How long a training will be.

    Attributes:
        epochs: times that each training example will be seen; None where no end is planned.
        moves: how far a weight can move, about: :math:`\text{learning rate} \times \text{steps}`,
            half of that where a schedule moves it, since along a line or a cosine it is half of its
            peak on average. A step of Adam moves a weight by the learning rate at most, or nearly
            so, whatever the loss. One of SGD goes as far as the gradient says: None, then.
        certain: whether it will be that long, and not stop early.
    """

    epochs: float | None
    moves: float | None
    certain: bool

    @property
    def words(self) -> str:
        """The same in words."""
        if self.epochs is None:
            return "no end is planned"
        passes = f"{self.epochs:.3g} passes over the data" + ("" if self.certain else " at most")
        if self.moves is None:
            return passes
        return f"{passes}, in which a weight moves by {self.moves:.2g} at most"


def planned(trainer: Any, *, certain: bool) -> Length:
    """Return how long a training will be by its limits, the same on all ranks.

    Args:
        trainer: a Trainer that is about to train.
        certain: whether nothing may end it before.
    """
    rate, batches = learning_rate(trainer.optimizers), progress(trainer).batches_planned
    moves = None
    if rate is not None and batches is not None:
        moves = rate * batches / trainer.accumulate_grad_batches
        if any(not each.reduce_on_plateau for each in trainer.lr_scheduler_configs):
            moves /= 2
    if trainer.world_size > 1:
        moves = trainer.strategy.broadcast(moves)
    return Length(planned_passes(trainer), moves, certain)


def learning_rate(optimizers: Iterable[Optimizer]) -> float | None:
    """Return the learning rate of the trained values: their median, where groups differ.

    So that of a new head on top of many layers does not count. Where a schedule moves it, its peak
    does, as far as the optimizer shows it: warming up begins near 0.

    Returns:
        None if an optimizer is not of Adam's kind, which is told by its ``betas``.
    """
    found: list[tuple[float, int]] = []
    for group in (group for each in optimizers for group in each.param_groups):
        if "betas" not in group or group["lr"] is None:
            return None
        trained = (each for each in group["params"] if each.requires_grad and not is_lazy(each))
        size = sum(each.numel() for each in trained)
        peak = (group["lr"], group.get("initial_lr"), group.get("max_lr"))
        found.append((max(float(each) for each in peak if each is not None), size))
    left = sum(size for _, size in found) / 2
    for rate, size in sorted(found):
        left -= size
        if left <= 0:
            return rate
    return None
