"""What the outputs of a validation and the labels of its batches add up to, for `calibration`."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own habit

from . import calibration

_ROWS = 4096  # of a batch, for the table of losses: pixels and tokens come in millions
_NUMBERS = 2**22  # logits that are worked on at once: vocabularies are large


class Sums(Protocol):
    """Sums over batches, of one reading of the labels.

    Attributes:
        classes: number of classes that the outputs tell apart; 0 before the first batch, and of
            numbers.
    """

    classes: int

    def add(self, output: Tensor, target: Tensor) -> None:
        """Add a batch."""

    def state(self) -> list[Tensor]:
        """Return what can be added up over processes."""

    def losses(self, state: list[Tensor]) -> list[float]:
        """Return the loss as a mean over all and as a mean of batches, as Lightning takes it.

        One of them has to be the validation loss: else labels are misread.
        """

    def chance_loss(self, state: list[Tensor]) -> float:
        """Return the loss of an output that does not look at its input."""

    def log_temperature(self, state: list[Tensor]) -> float:
        """Return the log of the temperature that they call for."""


class ClassSums:
    """Of classes: cross-entropies at several temperatures, for several shares of wrong labels.

    Args:
        dim: the dimension of the classes in the output; None for one logit of two classes.
        shift: each output [rows, position, classes] tells the label of the next position, as
            language models do.
    """

    def __init__(self, dim: int | None, *, shift: bool = False) -> None:
        self.dim, self.shift, self.classes = dim, shift, 0
        self._each: list[list[Tensor]] = []

    def add(self, output: Tensor, target: Tensor) -> None:
        """Add a batch; what is no class (-100, 255) is an index that the loss ignores."""
        if self.shift:
            output, target = output[:, :-1], target[:, 1:]
        if self.dim is None:
            output = torch.stack([torch.zeros_like(output), output], -1)
        logits = output.detach().movedim(-1 if self.dim is None else self.dim, -1).flatten(0, -2)
        self.classes = logits.shape[-1]
        labels = target.flatten().long()
        counted = (labels >= 0) & (labels < self.classes)
        labels = labels.clamp(0, self.classes - 1)
        most = max(1, _NUMBERS // self.classes)
        parts = zip(torch.split(logits, most), torch.split(labels, most), strict=True)
        plain = [F.cross_entropy(z.float(), y, reduction="none") for z, y in parts]
        total = _double(torch.cat(plain).where(counted, 0.0)).sum()
        step = max(1, -(-len(logits) // min(_ROWS, most)))
        some = counted[::step]
        table = class_losses(logits[::step].float(), labels[::step]).where(some, 0.0)
        rows, count = counted.new_tensor(len(target), dtype=torch.long), counted.sum()
        of_batch = rows * total / count  # NaN for a batch without labels, as for Lightning
        self._each.append([total, count, of_batch, rows, _double(table).sum(-1), some.sum()])

    def state(self) -> list[Tensor]:
        """Return the loss and count of all labels, and of batches; the table and its count."""
        return _summed(self._each)

    def losses(self, state: list[Tensor]) -> list[float]:
        """Return the mean cross-entropy, of all and of batches."""
        return [float(state[0] / state[1]), float(state[2] / state[3])]

    def chance_loss(self, state: list[Tensor]) -> float:
        """Return the loss of all classes alike."""
        return math.log(self.classes)

    def log_temperature(self, state: list[Tensor]) -> float:
        """Return the log of the temperature."""
        return calibration.of_labels((state[4] / state[5]).tolist(), float(state[1]))


def class_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return losses [temperatures, shares, rows] of logits [rows, classes] and labels [rows].

    Temperatures and shares of wrong labels are those of `calibration`.
    """
    share = torch.tensor(calibration.SHARES, device=logits.device)[:, None]
    found = []
    for log_temperature in calibration.LOG_TEMPERATURES:
        logs = torch.log_softmax(logits * math.exp(-log_temperature), -1)
        right = logs.gather(-1, labels[:, None])[:, 0].exp()
        found.append(-((1 - share) * right + share / logits.shape[-1]).clamp(min=1e-12).log())
    return torch.stack(found)


class NumberSums:
    """Of numbers: what the regression of targets on outputs needs."""

    classes = 0

    def __init__(self) -> None:
        self._each: list[list[Tensor]] = []

    def add(self, output: Tensor, target: Tensor) -> None:
        """Add a batch: both of shape [rows, *]."""
        z, y = (_double(each.detach()).reshape(len(target), -1) for each in (output, target))
        rows = z.new_tensor(float(len(z)))
        self._each.append([rows, z.sum(0), y.sum(0), (z * z).sum(), (z * y).sum(), (y * y).sum()])

    def state(self) -> list[Tensor]:
        """Return count, sums of outputs and targets, of squares and products."""
        return _summed(self._each)

    def losses(self, state: list[Tensor]) -> list[float]:
        """Return the mean squared error."""
        rows, z, _, zz, zy, yy = state
        return [float((zz - 2 * zy + yy) / (rows * z.numel()))]

    def chance_loss(self, state: list[Tensor]) -> float:
        """Return the loss of the mean target: the targets' variance."""
        rows, _, y, _, _, yy = state
        return float((yy - (y * y).sum() / rows) / (rows * y.numel()))

    def log_temperature(self, state: list[Tensor]) -> float:
        """Return the same for numbers: minus the log of the calibration slope."""
        rows, z, y, zz, zy, _ = state
        spread = float(zz - (z * z).sum() / rows)
        if spread <= 0:
            return 0.0  # outputs that are all the same say nothing
        slope = float(zy - (z * y).sum() / rows) / spread
        error = (self.losses(state)[0] * z.numel() / spread) ** 0.5
        return calibration.of_numbers(slope, error)


def _double(tensor: Tensor) -> Tensor:
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def _summed(each: list[list[Tensor]]) -> list[Tensor]:
    parts = zip(*each, strict=True)
    return [torch.stack([held.cpu().double() for held in part]).sum(0) for part in parts]


def readings(output: Tensor, held: Sequence[Tensor]) -> dict[str, tuple[int, Sums]]:
    """Return which of a batch's tensors can be the labels of an output, and how: likely ones first.

    That is a guess by shapes and types; the loss that the sums give says whether it was right. The
    values do not matter, so that all processes make the same guess.
    """
    found: dict[str, tuple[int, Sums]] = {}
    for place, target in reversed(list(enumerate(held))):
        shape, numbers = target.shape, target.is_floating_point()
        if shape and squeezed(output, target).shape == shape:
            if numbers:
                found[f"{place} numbers"] = place, NumberSums()
            if not target.is_complex():
                found[f"{place} of two"] = place, ClassSums(None)
        elif not (numbers or target.is_complex()) and output.dim() == target.dim() + 1:
            for dim in dict.fromkeys((1, output.dim() - 1)):
                if output.shape[:dim] + output.shape[dim + 1 :] == shape:
                    found[f"{place} of dim {dim}"] = place, ClassSums(dim)
                    if dim == 2 and shape[1] > 1 and output.dim() == 3:
                        found[f"{place} of the next"] = place, ClassSums(dim, shift=True)
    return found


def squeezed(output: Tensor, target: Tensor) -> Tensor:
    """Return the output without a last dimension of one that the target lacks."""
    one = output.dim() == target.dim() + 1 and output.shape[-1] == 1
    return output.squeeze(-1) if one else output


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of a batch, in its order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors(value.values())
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for part in value:
            yield from tensors(part)
