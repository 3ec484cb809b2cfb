"""How good predictions of many masks are beside plain ones: what the report's two plots need."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from thinned.metrics import BrierScore, NegativeLogLikelihood, Reliability, RiskCoverage
from thinned.uncertainty import Prediction
from thinned.uncertainty._prediction import entropy

POINTS = 20  # of the risk-coverage curve that is kept
TARGETS = ("target", "targets", "label", "labels", "y")


class Scores:
    """Scores of the plain forward and of the samples, over the batches and processes of a stage."""

    def __init__(self, device: torch.device) -> None:
        self._of = {name: _metrics(device) for name in ("plain", "sampled")}
        self.rows = self.samples = 0

    def update(self, plain: Tensor, found: Prediction, target: Tensor) -> None:
        """Add a batch: the plain logits, the prediction of many masks, the true classes."""
        if found.probabilities is None:
            return
        self.rows += len(target)
        self.samples = found.count
        device = plain.device
        for name, p in (("plain", plain.softmax(1)), ("sampled", found.probabilities)):
            metrics, p = self._of[name], p.detach().float().to(device)
            for key in ("nll", "brier", "bins"):
                metrics[key].update(p, target)
            metrics["curve"].update(entropy(p), (p.argmax(1) != target).float())

    def compute(self) -> dict[str, Any]:
        """Return plain numbers, and wait for the other processes."""
        found: dict[str, Any] = {"samples": self.samples}
        for name, metrics in self._of.items():
            bins: Tensor = metrics["bins"].compute()
            coverage, risk = metrics["curve"].compute()
            at = (torch.arange(1, POINTS + 1) * len(risk) / POINTS).ceil().long().clamp(min=1) - 1
            weights = bins[:, 0] / bins[:, 0].sum()
            found["rows"] = len(risk)
            found[name] = {
                "ece": float((weights * (bins[:, 1] - bins[:, 2]).abs()).sum()),
                "nll": float(metrics["nll"].compute()),
                "brier": float(metrics["brier"].compute()),
                "aurc": float(risk.double().mean()),
                "bins": _short(bins),
                "curve": _short(torch.stack([coverage[at], risk[at]], 1)),
            }
        return found


def _metrics(device: torch.device) -> dict[str, Metric]:
    kinds = {
        "nll": NegativeLogLikelihood(),
        "brier": BrierScore(),
        "bins": Reliability(),
        "curve": RiskCoverage(),
    }
    return {name: metric.to(device) for name, metric in kinds.items()}


def _short(table: Tensor) -> list[list[float]]:
    return [[round(value, 6) for value in row] for row in table.tolist()]


def target_of(batch: Any, found: Prediction) -> Tensor | None:
    """Return the classes in a batch: its second entry, or the one with such a name, if they fit."""
    if found.probabilities is None or found.probabilities.dim() != 2:
        return None
    target: Any = None
    if isinstance(batch, Mapping):
        target = next((batch[name] for name in TARGETS if name in batch), None)
    elif isinstance(batch, list | tuple) and len(batch) > 1:
        target = batch[1]
    rows, classes = found.probabilities.shape
    whole = isinstance(target, Tensor) and not target.is_floating_point() and len(target.shape) == 1
    if not whole or len(target) != rows or not bool(((target >= 0) & (target < classes)).all()):
        return None
    found_there: Tensor = target.long()
    return found_there
