"""Drop in one part of the training only: early against underfitting, late against overfitting."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from thinned._checks import check_choice, check_rate

from ._base import Schedule, check_fraction, clip


@dataclass(frozen=True)
class Early(Schedule):
    r"""Drop at the beginning only, which helps networks that underfit.

    .. math:: p(t) = \begin{cases}
        rate \cdot w(t) & t < until \\ 0 & t \ge until \end{cases}, \quad
        w(t) = \begin{cases} 1 & \text{constant} \\ 1 - t / until & \text{linear} \end{cases}

    Args:
        rate: the rate at progress 0, in [0, 1].
        until: progress from which nothing is dropped, in [0, 1]. The paper drops for the first 50
            of 300 epochs.
        shape: ``"constant"`` holds the rate until then, ``"linear"`` lowers it to 0.

    Raises:
        ValueError: if ``rate`` or ``until`` lies outside [0, 1], or ``shape`` is unknown.

    Example:
        >>> [Early(0.2, until=0.5)(t) for t in (0.0, 0.25, 0.5, 1.0)]
        [0.2, 0.2, 0.0, 0.0]
        >>> [Early(0.2, until=0.5, shape="linear")(t) for t in (0.0, 0.25, 0.5, 1.0)]
        [0.2, 0.1, 0.0, 0.0]

    References:
        Liu, Xu, Jin, Shen, Darrell, "Dropout Reduces Underfitting" (2023),
        https://arxiv.org/abs/2303.01500.
    """

    rate: float
    _: KW_ONLY
    until: float = 0.2
    shape: Literal["constant", "linear"] = "constant"

    def __post_init__(self) -> None:
        """Check rate, time and shape."""
        check_choice("shape", self.shape, ("constant", "linear"))
        until = check_fraction("until", self.until)
        self._normalize(rate=check_rate("rate", self.rate), until=until)

    def __call__(self, progress: float) -> float:
        """Return the rate at ``progress``."""
        t = clip(progress)
        if t >= self.until:
            return 0.0
        return self.rate if self.shape == "constant" else self.rate * (1 - t / self.until)


@dataclass(frozen=True)
class Late(Schedule):
    r"""Drop from some time on only, which helps networks that overfit.

    .. math:: p(t) = \begin{cases} 0 & t < begin \\ rate & t \ge begin \end{cases}

    Args:
        rate: the rate from ``begin`` on, in [0, 1].
        begin: progress from which units are dropped, in [0, 1]. The paper begins after 50 of 300
            epochs.

    Raises:
        ValueError: if ``rate`` or ``begin`` lies outside [0, 1].

    Example:
        >>> [Late(0.4, begin=0.5)(t) for t in (0.0, 0.49, 0.5, 1.0)]
        [0.0, 0.0, 0.4, 0.4]

    References:
        Liu, Xu, Jin, Shen, Darrell, "Dropout Reduces Underfitting" (2023),
        https://arxiv.org/abs/2303.01500.
    """

    rate: float
    _: KW_ONLY
    begin: float = 0.2

    def __post_init__(self) -> None:
        """Check rate and time."""
        begin = check_fraction("begin", self.begin)
        self._normalize(rate=check_rate("rate", self.rate), begin=begin)

    def __call__(self, progress: float) -> float:
        """Return the rate at ``progress``."""
        return self.rate if clip(progress) >= self.begin else 0.0
