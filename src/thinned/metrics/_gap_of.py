"""The gap of any torchmetrics metric: two copies of it, one on each side."""

from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric

from thinned._checks import check_choice

SIDES = ("validation", "probe")


class GapOf(Metric):
    """The difference of a metric between two sets of data, validation minus probe.

    Of a loss or an accuracy it is the generalization gap; of a calibration error the calibration
    gap; with a shifted set given as ``"validation"`` and the clean one as ``"probe"`` it is the
    robustness gap. Both sides are synchronized over processes by the metric itself.

    Args:
        metric: the metric; it is cloned, and stays as it is.
        **kwargs: of `torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> from torchmetrics.classification import BinaryAccuracy
        >>> accuracy = GapOf(BinaryAccuracy())
        >>> accuracy.update("probe", torch.tensor([1, 0, 1, 1]), torch.tensor([1, 0, 1, 1]))
        >>> accuracy.update("validation", torch.tensor([1, 0, 1, 1]), torch.tensor([1, 0, 0, 0]))
        >>> accuracy.compute().item()
        -0.5
    """

    is_differentiable = False
    full_state_update = False

    def __init__(self, metric: Metric, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sides = nn.ModuleDict({side: metric.clone() for side in SIDES})
        for side in SIDES:
            self._of(side).reset()

    def update(self, side: str, *args: Any, **kwargs: Any) -> None:
        """Add a batch to one side, ``"validation"`` or ``"probe"``."""
        self._of(check_choice("side", side, SIDES)).update(*args, **kwargs)

    def compute(self) -> Tensor:
        """Return validation minus probe."""
        validation, probe = (self._of(side).compute() for side in SIDES)
        difference: Tensor = validation - probe
        return difference

    def reset(self) -> None:
        """Empty both sides."""
        super().reset()
        for side in SIDES:
            self._of(side).reset()

    def _of(self, side: str) -> Any:
        return self.sides[side]
