"""Dropout with a learned rate (Gal, Hron and Kendall 2017)."""

import math
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from thinned._checks import check_number, check_rate
from thinned.layers._rate import RateLayer


class ConcreteDropout(RateLayer):
    r"""Drop single elements, at a rate that is learned by gradient descent.

    .. math:: y = x\,(1 - z) / (1 - p), \quad z = \mathrm{sigmoid}\left(\frac{1}{t}\left(
        \log\frac{p}{1 - p} + \log\frac{u}{1 - u}\right)\right), \quad u \sim \mathcal{U}(0, 1)

    :math:`z` is a relaxed Bernoulli draw: nearly 0 or 1 at temperature :math:`t = 0.1`, and
    differentiable in ``p``. In evaluation it is the identity. The rate only has a reason not to
    fall to its floor when :meth:`regularizer` is added to the loss. It moves between ``floor`` and
    ``ceiling``, whose gradients never vanish entirely: published implementations report rates that
    ran to 0 or above 0.5. Setting ``p`` sets the point from which it is learned; 0 and 1 are exact,
    and switch learning off. Saved for backward: the noise and its derivative.

    Args:
        p: the rate to begin with: between ``floor`` and ``ceiling``, or 0 or 1.
        temperature: :math:`t`, above 0.
        floor: the lowest rate.
        ceiling: the highest rate.

    Shape:
        - Input: :math:`(*)`, any shape.
        - Output: as the input.

    Raises:
        ValueError: if ``p`` is neither 0, nor 1, nor between ``floor`` and ``ceiling``.
        TypeError: if ``p`` is not a number.

    Example:
        >>> layer = ConcreteDropout(0.2)
        >>> _ = torch.manual_seed(0)
        >>> y = layer(torch.ones(10_000))
        >>> round((y < 0.6).float().mean().item(), 1)
        0.2
        >>> linear = nn.Linear(8, 4)
        >>> bool(layer.regularizer(linear.weight, num_samples=200).isfinite())
        True

    References:
        Gal, Hron, Kendall (2017), *Concrete Dropout*, equations 3 to 5,
        https://arxiv.org/abs/1705.07832
    """

    def __init__(
        self,
        p: float = 0.1,
        temperature: float = 0.1,
        *,
        floor: float = 0.01,
        ceiling: float = 0.8,
    ) -> None:
        super().__init__()
        self.floor = check_rate("floor", floor)
        self.ceiling = check_number(
            "ceiling", ceiling, self.floor, 1.0, what="a rate above `floor`"
        )
        self.temperature = check_number("temperature", temperature, 1e-6)
        self.logit = nn.Parameter(torch.zeros(()))
        self.p = p

    @property
    def p(self) -> float:
        """The rate as learned so far, in [0, 1]."""
        return float(self.rate().detach())

    @p.setter
    def p(self, value: float) -> None:
        rate = check_rate("p", value)
        if rate in (0.0, 1.0):
            logit = math.copysign(math.inf, rate - 0.5)
        elif self.floor < rate < self.ceiling:
            logit = math.log((rate - self.floor) / (self.ceiling - rate))
        else:
            msg = (
                f"Expected `p` to be 0, 1 or between `floor` {self.floor:g} and `ceiling` "
                f"{self.ceiling:g}, got {rate:g}."
            )
            raise ValueError(msg)
        with torch.no_grad():
            self.logit.fill_(logit)

    def adopt(self, module: nn.Module) -> Self:
        """Take over the mode and the device of ``module``, and return self."""
        self.training = module.training
        for tensor in (*module.parameters(), *module.buffers()):
            return self.to(device=tensor.device)
        return self

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        # The parameter holds the rate, and moves as any parameter does.
        nn.Module._apply(self, fn, recurse)  # type: ignore[no-untyped-call]  # torch's
        return self

    def rate(self) -> Tensor:
        """The rate as a tensor, through which gradients reach the parameter."""
        share = self.logit.float().sigmoid()
        inside = self.floor + (self.ceiling - self.floor) * share
        return torch.where(self.logit.isinf(), share, inside)

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of ``x`` in training."""
        if not self.training:
            return x
        fixed = self.logit.isinf()  # rate 0 or 1, whose logarithms have no gradient
        rate = torch.where(fixed, 0.5, self.rate())
        odds = torch.where(fixed, 1e6 * self.logit.detach().sign(), rate.logit())
        scale = torch.where(fixed, 1.0, 1.0 / (1.0 - rate))
        # In float32: half precision has no number between 1 - 0.0005 and 1 for log(1 - u).
        drawn = torch.rand(x.shape, device=x.device).clamp_min_(1e-7).logit_()
        heat = -1.0 / self.temperature
        keep = torch.sigmoid(torch.add(odds * heat, drawn, alpha=heat))
        return x * (keep * scale).to(x.dtype)

    def regularizer(
        self,
        weight: Tensor,
        num_samples: int,
        *,
        features: int | None = None,
        length_scale: float = 1e-2,
        precision: float = 1.0,
    ) -> Tensor:
        r"""Return what must be added to the mean loss, so that the rate does not fall to its floor.

        .. math:: \frac{1}{\tau N} \left(\frac{l^2}{2 (1 - p)} \|W\|^2 - K H(p)\right), \quad
            H(p) = -p \log p - (1 - p) \log(1 - p)

        which is the paper's equation 3 for :math:`M = W / (1 - p)`, since this layer scales in
        training. It is 0 where the rate is 0 or 1 and so not learned.

        Args:
            weight: the weight of the layer that reads this layer's output.
            num_samples: :math:`N`, the size of the training set, not of a batch: it weighs the
                prior against the mean loss. Too small a number drives the rate to its ceiling.
            features: :math:`K`, the number of elements dropped for each sample. ``None``: the
                weight's second axis.
            length_scale: :math:`l`, of the prior.
            precision: :math:`\tau`, what the loss must be multiplied with to be a negative log
                likelihood: 1 for cross-entropy, :math:`1 / (2 \sigma^2)` for squared error.

        Raises:
            ValueError: if a number is out of range.
        """
        number = check_number("num_samples", num_samples, 1) * check_number(
            "precision", precision, 1e-12
        )
        fixed = self.logit.isinf()
        rate = torch.where(fixed, 0.5, self.rate())
        entropy = -(torch.xlogy(rate, rate) + torch.xlogy(1.0 - rate, 1.0 - rate))
        width = weight.shape[1] if features is None else features
        prior = length_scale**2 * weight.square().sum() / (2.0 * (1.0 - rate))
        return torch.where(fixed, 0.0, (prior - width * entropy) / number)

    def extra_repr(self) -> str:
        """The rate and its bounds."""
        return f"p={self.p:g}, floor={self.floor:g}, ceiling={self.ceiling:g}"
