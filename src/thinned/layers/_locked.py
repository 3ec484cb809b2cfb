"""The same mask at every time step (Gal and Ghahramani 2016)."""

from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from thinned.layers._rate import RateLayer, require_dropout_like


class LockedDropout(RateLayer):
    r"""Drop single features of a sequence, the same ones at every time step.

    .. math:: y_{n,t,c} = x_{n,t,c}\, m_{n,c} / (1 - p), \quad
        m_{n,c} \sim \mathrm{Bernoulli}(1 - p)

    In training the mask is drawn once for each sequence, anew in each forward; in evaluation it is
    the identity. The axis of time is never guessed: (B, T, C) and (T, B, C) look alike. Saved for
    backward: one number a sequence and feature.

    Args:
        p: the rate, in [0, 1].
        time_dim: the axis of time: 1 for batch-first sequences (B, T, C), 0 for (T, B, C).

    Shape:
        - Input: :math:`(B, T, C, *)`, :math:`(T, B, C, *)` or a packed sequence of such steps.
        - Output: as the input.

    Raises:
        ValueError: if ``p`` is outside [0, 1], or an input has no axis of features beside those of
            batch and time: whole samples or steps would be dropped.
        TypeError: if ``p`` is not a number.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> LockedDropout(0.5)(torch.ones(1, 3, 4))
        tensor([[[0., 0., 2., 0.],
                 [0., 0., 2., 0.],
                 [0., 0., 2., 0.]]])

    References:
        Gal, Ghahramani (2016), *A Theoretically Grounded Application of Dropout in Recurrent Neural
        Networks*, section 4, https://arxiv.org/abs/1512.05287
    """

    def __init__(self, p: float = 0.5, time_dim: int = 1) -> None:
        super().__init__()
        self.p = p
        self.time_dim = time_dim

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        rate: float,
        *,
        neighbours: Iterable[nn.Module] = (),
        **options: Any,
    ) -> Self:
        """Return a layer that can take the place of the dropout ``module``.

        Args:
            module: a dropout module.
            rate: the new rate, in [0, 1].
            neighbours: the layers before and after. Where ``time_dim`` is not given, a recurrent
                layer among them must show it by its ``batch_first``.
            **options: ``time_dim``.

        Raises:
            TypeError: if ``module`` is no dropout.
            ValueError: if nothing shows the axis of time.
        """
        require_dropout_like(cls, module)
        if "time_dim" not in options:
            shown = {int(m.batch_first) for m in neighbours if isinstance(m, nn.RNNBase)}
            if len(shown) != 1:
                msg = (
                    "LockedDropout cannot tell the axis of time here: no recurrent layer beside it "
                    "shows it. Pass time_dim=1 for (B, T, C), time_dim=0 for (T, B, C)."
                )
                raise ValueError(msg)
            options["time_dim"] = shown.pop()
        return cls(rate, **options).adopt(module)

    def forward(self, x: Tensor | PackedSequence) -> Any:
        """Drop features of the sequences ``x`` in training."""
        if not self._drops():
            return x
        if isinstance(x, PackedSequence):
            if x.data.dim() < 2:  # the axes of batch and time are one there
                raise ValueError(_no_sequence(x.data.shape))
            noise = self._noise(x.data, [int(x.batch_sizes[0]), *x.data.shape[1:]])
            return x._replace(data=x.data * noise[packed_rows(x)])
        if x.dim() < 3:
            raise ValueError(_no_sequence(x.shape))
        shape = list(x.shape)
        shape[self.time_dim] = 1
        return x * self._noise(x, shape)

    def extra_repr(self) -> str:
        """The rate and the axis of time."""
        return f"p={self.p:g}, time_dim={self.time_dim}"


def _no_sequence(shape: torch.Size) -> str:
    return (
        "LockedDropout expected sequences of 3 axes or more, (B, T, C) or (T, B, C), got the shape "
        f"{tuple(shape)}: the same mask at every step would drop whole samples or steps of it. Use "
        "Dropout where there are no steps, such as on a last state (B, C), or give one unbatched "
        "sequence (T, C) an axis for the batch."
    )


def packed_rows(packed: PackedSequence) -> Tensor:
    """Return the sequence that each row of a packed sequence's data belongs to.

    Example:
        >>> from torch.nn.utils.rnn import pack_sequence
        >>> packed_rows(pack_sequence([torch.zeros(3, 1), torch.zeros(1, 1)]))
        tensor([0, 1, 0, 0])
    """
    steps = [torch.arange(size) for size in packed.batch_sizes.tolist()]
    return torch.cat(steps).to(packed.data.device)
