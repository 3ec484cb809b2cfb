"""What many samples say: mean and spread, and whether the doubt is the model's or the data's."""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

NARROW = 16  # classes from which on a softmax over the last dimension is the quicker way


@dataclass(frozen=True)
class Prediction:
    r"""Statistics over the samples of a Monte Carlo prediction.

    Attributes:
        mean: mean over the samples, shape of one output.
        std: standard deviation over the samples, with :math:`T - 1` in the denominator; of complex
            outputs real, from the distances to the mean.
        count: number of samples, :math:`T`.
        probabilities: of a classifier, the mean of the samples' softmax; else None.
        expected_entropy: of a classifier, the mean of the samples' entropies in nats; else None.
        agreement: of a classifier, the share of samples that vote for the most frequent class.
        samples: all samples, shape :math:`(T, *)`, if they were asked for.
        method: how they were drawn, in words.

    Example:
        >>> import torch
        >>> votes = torch.tensor([[[2.0, 0.0]], [[0.0, 2.0]]])  # two samples that contradict
        >>> moments = Moments(classes=True)
        >>> moments.update(votes)
        >>> found = moments.prediction()
        >>> found.mean, found.probabilities
        (tensor([[1., 1.]]), tensor([[0.5000, 0.5000]]))
        >>> round(float(found.entropy), 3), round(float(found.mutual_information), 3)
        (0.693, 0.328)
    """

    mean: Tensor
    std: Tensor
    count: int
    probabilities: Tensor | None = None
    expected_entropy: Tensor | None = None
    agreement: Tensor | None = None
    samples: Tensor | None = None
    method: str = ""

    @property
    def variance(self) -> Tensor:
        """The variance over the samples: of a regression, the model's own doubt."""
        return self.std.square()

    @property
    def entropy(self) -> Tensor:
        r"""Predictive entropy :math:`H[\bar p]` in nats: all doubt, the model's and the data's."""
        return entropy(self._classes("entropy"))

    @property
    def mutual_information(self) -> Tensor:
        r"""Mutual information :math:`H[\bar p] - \overline{H[p]}` (BALD): the model's doubt.

        References:
            Houlsby, Huszár, Ghahramani, Lengyel (2011), *Bayesian Active Learning for
            Classification and Preference Learning*, equation 2, https://arxiv.org/abs/1112.5745
        """
        probabilities = self._classes("mutual_information")
        expected = torch.zeros(()) if self.expected_entropy is None else self.expected_entropy
        return (entropy(probabilities) - expected).clamp(min=0.0)

    @property
    def variation_ratio(self) -> Tensor:
        """One minus the share of samples that vote for the most frequent class."""
        self._classes("variation_ratio")
        return 1.0 - (torch.ones(()) if self.agreement is None else self.agreement)

    @property
    def output(self) -> Tensor:
        r"""What stands for one output: :math:`\log \bar p` of a classifier, else the mean.

        The softmax of :math:`\log \bar p` is :math:`\bar p`, so it serves wherever logits do.
        """
        if self.probabilities is None:
            return self.mean
        return self.probabilities.clamp_min(torch.finfo(self.probabilities.dtype).tiny).log()

    def to(self, device: torch.device | str) -> "Prediction":
        """Return the same prediction with its tensors on a device."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {
            k: v.to(device) if isinstance(v, Tensor) else v for k, v in held.items()
        }
        return Prediction(**moved)

    def quantile(self, q: float | Tensor) -> Tensor:
        """Return a quantile over the samples, which must have been kept, and real."""
        if self.samples is None:
            msg = "Expected the samples to be there, they were not kept. Use keep_samples=True."
            raise ValueError(msg)
        if self.samples.is_complex():
            msg = "Expected real samples for a quantile, got complex ones, which have no order. "
            raise ValueError(msg + "Take it of found.samples.abs(), say.")
        return torch.quantile(self.samples.float(), q, dim=0)

    def _classes(self, name: str) -> Tensor:
        if self.probabilities is None:
            msg = f"Expected a classifier's prediction for `{name}`, got one without classes. "
            raise ValueError(msg + "Use mc_predict(..., classes=True) if the outputs are logits.")
        return self.probabilities


class Moments:
    """Streaming mean and variance of samples that arrive in chunks (Welford, Chan).

    Memory does not grow with the number of samples, unless they are kept.

    Args:
        classes: whether the outputs are logits with the classes in dimension 1 of one output.
        keep: whether to keep the samples.

    References:
        Chan, Golub, LeVeque (1983), *Algorithms for Computing the Sample Variance*, equation 2.1
    """

    def __init__(self, *, classes: bool, keep: bool = False) -> None:
        self.classes = classes
        self.count = 0
        self._mean = self._squares = torch.zeros(())
        self._probabilities = self._entropy = torch.zeros(())
        self._votes: Tensor | None = None
        self._kept: list[Tensor] | None = [] if keep else None

    def update(self, samples: Tensor) -> None:
        """Take in samples of shape ``(t, *output)``."""
        new, total = len(samples), self.count + len(samples)
        share = new / total
        values = samples.float() if samples.dtype.itemsize < 4 else samples
        mean = values.mean(dim=0)
        squares = _squared(values - mean).sum(dim=0)
        if self.count:
            delta = mean - self._mean
            self._squares = self._squares + squares + _squared(delta) * (self.count * share)
            self._mean = self._mean + delta * share
        else:
            self._mean, self._squares = mean, squares
        if self.classes:
            self._update_classes(values, share)
        self.count = total
        if self._kept is not None:
            self._kept.append(samples)

    def _update_classes(self, values: Tensor, share: float) -> None:
        p = _softmax(values)
        mean, doubt = p.mean(dim=0), entropy(p, dim=2).mean(dim=0)
        chosen = values.argmax(dim=2).movedim(0, 1)
        one = torch.ones_like(chosen, dtype=mean.dtype)
        votes = torch.zeros_like(mean).scatter_add_(1, chosen, one)
        if self._votes is None:
            self._probabilities, self._entropy, self._votes = mean, doubt, votes
        else:
            self._probabilities = self._probabilities.lerp(mean, share)
            self._entropy = self._entropy.lerp(doubt, share)
            self._votes = self._votes + votes

    def prediction(self, method: str = "") -> Prediction:
        """Return the statistics so far, with how the samples were drawn."""
        std = (self._squares / max(self.count - 1, 1)).sqrt()
        kept = torch.cat(self._kept) if self._kept else None
        if self._votes is None:
            return Prediction(self._mean, std, self.count, samples=kept, method=method)
        agreement = self._votes.amax(dim=1) / self.count
        of_classes = (self._probabilities, self._entropy, agreement)
        return Prediction(self._mean, std, self.count, *of_classes, kept, method)


def _squared(values: Tensor) -> Tensor:
    """Return squares, of complex numbers those of their distance from 0."""
    return values.abs().square() if values.is_complex() else values.square()


def _softmax(values: Tensor) -> Tensor:
    """Softmax over dimension 2, laid out so that few classes are quick.

    Over a last dimension shorter than a vector of the processor torch takes seven times as long as
    with the classes first (measured from 2 to 15 classes; from 16 on it is the other way round).
    """
    if values.dim() > 3 or values.shape[2] >= NARROW:
        return values.softmax(dim=2)
    return values.movedim(2, 0).contiguous().softmax(dim=0).movedim(0, 2).contiguous()


def is_logits(output: Tensor, classes: bool | None) -> bool:
    """Say whether an output is taken for logits, and refuse what is said to be and cannot be.

    Raises:
        TypeError: if complex or boolean numbers are said to be logits.
        ValueError: if there is no axis of at least two classes.
    """
    several = output.dim() > 1 and output.shape[1] > 1
    if classes is None:
        return several and output.dim() == 2 and output.is_floating_point()
    if classes and not output.is_floating_point():
        msg = f"Expected logits with classes=True, which are real numbers, got {output.dtype}. "
        raise TypeError(msg + "Return logits, or leave `classes` out: mean and std are given then.")
    if classes and not several:
        msg = "Expected logits (N, C, *) of at least two classes with classes=True, got "
        msg += (
            f"{tuple(output.shape)}. One logit z of a yes or no is two: torch.cat([0 * z, z], 1)."
        )
        raise ValueError(msg)
    return classes


def entropy(probabilities: Tensor, dim: int = 1) -> Tensor:
    r"""Entropy :math:`-\sum_c p_c \log p_c` in nats, with :math:`0 \log 0 = 0`.

    Args:
        probabilities: shape :math:`(N, C, *)` for ``dim=1``.
        dim: where the classes are.

    Example:
        >>> import torch
        >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
        tensor([0.6931, 0.0000])
    """
    found: Tensor = torch.special.entr(probabilities).sum(dim=dim)
    return found
