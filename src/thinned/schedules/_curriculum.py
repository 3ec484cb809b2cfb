"""Curriculum dropout: begin with the whole network, thin it as training goes on."""

import math
from dataclasses import KW_ONLY, dataclass

from thinned._checks import check_number, check_rate

from ._base import Schedule, clip


@dataclass(frozen=True)
class Curriculum(Schedule):
    r"""Drop nothing at first and more and more, as in curriculum dropout.

    .. math:: p(t) = 1 - keep(t), \quad keep(t) = (1 - \overline{keep})\,e^{-\gamma t}
        + \overline{keep}, \quad \overline{keep} = 1 - end

    The rate is 0 at progress 0 and approaches ``end`` from below without reaching it: at progress
    1 it is :math:`end\,(1 - e^{-\gamma})`, which for the paper's :math:`\gamma = 10` is 0.99995 of
    ``end``. A ramp that arrives exactly is :class:`Exponential`.

    Args:
        end: the rate that is approached, in [0, 1].
        gamma: how fast, in (0, 1000]; the paper takes 10 over the length of the training.

    Raises:
        ValueError: if ``end`` lies outside [0, 1] or ``gamma`` outside its range.

    Example:
        >>> schedule = Curriculum(0.5)
        >>> [round(schedule(t), 3) for t in (0.0, 0.1, 0.3, 1.0)]
        [0.0, 0.316, 0.475, 0.5]

    References:
        Morerio, Cavazza, Volpi, Vidal, Murino, "Curriculum Dropout" (2017),
        https://arxiv.org/abs/1703.06229.
    """

    end: float
    _: KW_ONLY
    gamma: float = 10.0

    def __post_init__(self) -> None:
        """Check rate and speed."""
        gamma = check_number("gamma", self.gamma, 1e-6, 1e3)
        self._normalize(end=check_rate("end", self.end), gamma=gamma)

    def __call__(self, progress: float) -> float:
        """Return the rate at ``progress``."""
        return -math.expm1(-self.gamma * clip(progress)) * self.end
