"""Dropout of single elements (Srivastava 2014)."""

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.functional import dropout

from thinned._checks import check_rate
from thinned.layers._rate import RateLayer, compiled_keep


class Dropout(RateLayer, nn.Dropout):
    r"""Drop single elements.

    .. math:: y_i = x_i m_i / (1 - p), \quad m_i \sim \mathrm{Bernoulli}(1 - p)

    In training each element is zeroed with probability ``p`` and the others are scaled, so that
    the mean stays. In evaluation it is the identity. Eagerly it is ``torch.nn.Dropout`` to the bit,
    with the same random stream; compiled, a new rate costs no recompilation. Saved for backward:
    the mask.

    Args:
        p: the rate, in [0, 1]. 0 is the identity, 1 drops all.
        inplace: write the result into the input (eager only). Rarely wanted: whoever needs the
            input for backward will fail.

    Shape:
        - Input: :math:`(*)`, any shape.
        - Output: as the input.

    Raises:
        ValueError: if ``p`` is outside [0, 1].
        TypeError: if ``p`` is not a number.

    Example:
        >>> layer = Dropout(0.25)
        >>> _ = torch.manual_seed(0)
        >>> y = layer(torch.ones(10_000))
        >>> sorted(set(y.tolist()))
        [0.0, 1.3333333730697632]
        >>> round((y == 0).float().mean().item(), 2)
        0.25
        >>> layer.p = 0.5  # at any time, compiled too
        >>> layer.eval()(torch.ones(2))
        tensor([1., 1.])

    References:
        Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), *Dropout: A Simple Way to
        Prevent Neural Networks from Overfitting*, section 4,
        https://jmlr.org/papers/v15/srivastava14a.html
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__(check_rate("p", p), inplace)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        """Drop elements of ``input`` in training."""
        if self.training and is_compiling():
            keep, scale = compiled_keep(self._rate, input.shape, input.device)
            return torch.where(keep, input * scale, 0.0)
        if is_compiling():
            return input  # asking for the float would compile anew at each new rate
        return dropout(input, self._p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The rate, and whether it writes in place."""
        return f"p={self.p:g}, inplace={self.inplace}"
