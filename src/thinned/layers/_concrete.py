"""Dropout with a learned rate (Gal, Hron and Kendall 2017)."""

import math
from typing import Any, Self

import torch
from torch import Tensor, nn

from thinned._checks import check_number, check_rate
from thinned.layers._rate import RateLayer

_FIXED = (0.0, 1.0)  # the rates that are not learned
_END = 10.0  # of the logits of given rates: the rate is 4e-5 of its range from a bound there


class ConcreteDropout(RateLayer):
    r"""Drop single elements, at a rate that is learned by gradient descent.

    .. math:: y = x\,(1 - z) / (1 - p), \quad z = \mathrm{sigmoid}\left(\frac{1}{t}\left(
        \log\frac{p}{1 - p} + \log\frac{u}{1 - u}\right)\right), \quad u \sim \mathcal{U}(0, 1)

    :math:`z` is a relaxed Bernoulli draw: nearly 0 or 1 at temperature :math:`t = 0.1`, and
    differentiable in ``p``. In evaluation it is the identity. The rate only has a reason not to
    fall to its floor when :meth:`regularizer` is added to the loss. It moves between ``floor`` and
    ``ceiling``, whose gradients never vanish entirely: published implementations report rates that
    ran to 0 or above 0.5. Saved for backward: the noise and its derivative.

    Setting ``p`` sets the point from which it is learned: a rate outside of ``floor`` and
    ``ceiling``, such as a schedule may pass through, sets the nearer of them. 0 and 1 are exact: 0
    switches the layer off, 1 drops all, and neither is learned nor touches the parameter. What was
    learned before ``p`` was set comes back to the bit when ``p`` is set to the rate read then.

    Args:
        p: the rate to begin with: between ``floor`` and ``ceiling``, or 0 or 1.
        temperature: :math:`t`, above 0.
        floor: the lowest rate.
        ceiling: the highest rate.

    Shape:
        - Input: :math:`(*)`, any shape.
        - Output: as the input.

    Raises:
        ValueError: if ``p`` is, from the beginning, neither 0, nor 1, nor between ``floor`` and
            ``ceiling``; or set outside of [0, 1].
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

    learned = True

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
        self._learned: tuple[float, float] | None = None  # rate and logit, before `p` was set
        self._written: float | None = None  # the logit that setting `p` wrote last
        rate = check_rate("p", p)
        if rate not in _FIXED and not self.floor <= rate <= self.ceiling:
            msg = (
                f"Expected `p` to be 0, 1 or between `floor` {self.floor:g} and `ceiling` "
                f"{self.ceiling:g}, got {rate:g}. Give another rate, or other bounds."
            )
            raise ValueError(msg)
        self.p = rate

    @property
    def p(self) -> float:
        """The rate as learned so far, in [0, 1]."""
        return self._p if self._p in _FIXED else self._inside(float(self.logit.detach()))

    @p.setter
    def p(self, value: float) -> None:
        rate = check_rate("p", value)
        held = self.__dict__.get("_held")
        device = self.logit.device if held is None else held.tensor.device
        self._hold(rate if rate in _FIXED else math.nan, device)
        if rate in _FIXED:
            return
        now = self._written if self.logit.is_meta else float(self.logit.detach())
        if now is not None and now != self._written:
            self._learned = (self._inside(now), now)
        before = self._learned
        logit = before[1] if before is not None and before[0] == rate else self._logit_of(rate)
        # Past autograd's count of writes, which it needs not: no graph saves the logit itself, and
        # a rate may move between a forward and its backward.
        self.logit.data.fill_(logit)
        self._written = float(torch.tensor(logit, dtype=self.logit.dtype, device="cpu"))

    def _inside(self, logit: float) -> float:
        """The rate at a logit: in double precision, or many logits would read as one rate."""
        share = 1.0 / (1.0 + math.exp(min(-logit, 700.0)))  # beyond, no double holds it
        return self.floor + (self.ceiling - self.floor) * share

    def _logit_of(self, rate: float) -> float:
        """The logit of a rate, which ends where a rate at a bound could still be learned."""
        low, high = rate - self.floor, self.ceiling - rate
        if min(low, high) <= 0.0:
            return math.copysign(_END, low - high)
        return min(max(math.log(low / high), -_END), _END)

    def adopt(self, module: nn.Module) -> Self:
        """Take over the mode and the device of ``module``, and return self."""
        self.training = module.training
        for tensor in (*module.parameters(), *module.buffers()):
            return self.to(device=tensor.device)
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        # Infinite in the file alone: an optimizer or an average would make a parameter of it NaN.
        if self._p in _FIXED and not keep_vars:
            fixed = math.copysign(math.inf, self._p - 0.5)
            destination[f"{prefix}logit"] = torch.full_like(self.logit.detach(), fixed)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        saved = state_dict.get(f"{prefix}logit")
        if isinstance(saved, Tensor) and saved.numel() == 1 and not saved.is_meta:
            logit = float(saved.detach())
            fixed = math.isinf(logit)
            self._hold(float(logit > 0.0) if fixed else math.nan, self._held.tensor.device)
            if fixed:
                state_dict[f"{prefix}logit"] = torch.zeros_like(saved)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def rate(self) -> Tensor:
        """The rate as a tensor, through which gradients reach the parameter."""
        fixed, held = self._fixed()
        share = self.logit.float().sigmoid()
        return torch.where(fixed, held, self.floor + (self.ceiling - self.floor) * share)

    def _fixed(self) -> tuple[Tensor, Tensor]:
        """Whether the rate is 0 or 1, whose logarithms have no gradient, and which."""
        held = self._rate.to(self.logit.device)
        return ~held.isnan(), held

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of ``x`` in training."""
        if not self.training:
            return x
        fixed, held = self._fixed()
        rate = torch.where(fixed, 0.5, self.rate())
        odds = torch.where(fixed, 2e6 * (held - 0.5), rate.logit())
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
        fixed, _ = self._fixed()
        rate = torch.where(fixed, 0.5, self.rate())
        entropy = -(torch.xlogy(rate, rate) + torch.xlogy(1.0 - rate, 1.0 - rate))
        width = weight.shape[1] if features is None else features
        prior = length_scale**2 * weight.square().sum() / (2.0 * (1.0 - rate))
        return torch.where(fixed, 0.0, (prior - width * entropy) / number)

    def extra_repr(self) -> str:
        """The rate and its bounds."""
        return f"p={self.p:g}, floor={self.floor:g}, ceiling={self.ceiling:g}"
