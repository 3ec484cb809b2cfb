"""Recurrent layers whose hidden-to-hidden weights are dropped (Merity 2018)."""

from typing import Any, Self

import torch
from torch import nn
from torch.nn.functional import dropout

from thinned.layers._dropconnect import masked_weight
from thinned.layers._recurrent import (
    RecurrentLayer,
    Steps,
    Weights,
    enter,
    leave,
    run_eagerly,
    run_fused,
    run_stepwise,
)
from thinned.layers._transforms import under_transform


class _WeightDrop(RecurrentLayer):
    """What the three layers share; the class of torch is the next base of each."""

    def __init__(self, *args: Any, p: float = 0.5, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.p = p

    @classmethod
    def from_module(cls, module: nn.Module, rate: float, **options: Any) -> Self:
        """Return a layer with the very parameters of the recurrent layer ``module``.

        Args:
            module: the layer of torch that this class extends. Its own ``dropout`` is taken over.
            rate: the rate, in [0, 1].
            **options: none so far.

        Raises:
            TypeError: if ``module`` is not exactly torch's class: a subclass may compute more.
        """
        made = super().from_module(module, rate, **options)
        made.dropout = float(getattr(module, "dropout", 0.0))
        return made

    @run_eagerly
    def _masked_forward(self, input: Any, hx: Any) -> Any:  # noqa: A002 - torch's own name
        """Run the layer with hidden-to-hidden weights dropped."""
        steps, state = enter(self, input, hx)
        masked = [[self._masked(side) for side in sides] for sides in self._directions()]
        if not under_transform():
            flat = [weight for sides in masked for side in sides for weight in side]
            y, last = run_fused(
                self, steps, state, flat, layers=self.num_layers, between=self.dropout
            )
            return leave(self, input, y, last)
        lasts = []
        for depth, sides in enumerate(masked):
            part = tuple(s[depth * len(sides) : (depth + 1) * len(sides)] for s in state)
            y, last = run_stepwise(self, steps, part, sides, [None] * len(sides))
            y = dropout(y, self.dropout, training=depth + 1 < self.num_layers)
            steps = Steps(y, steps.batch_sizes)
            lasts.append(last)
        return leave(self, input, y, tuple(torch.cat(h) for h in zip(*lasts, strict=True)))

    def _masked(self, weights: Weights) -> Weights:
        return [weights[0], masked_weight(self, weights[1]), *weights[2:]]


class WeightDropLSTM(_WeightDrop, nn.LSTM):
    r"""An LSTM whose hidden-to-hidden weights are dropped.

    .. math:: \tilde W_{hh} = W_{hh} \odot M / (1 - p), \quad
        M_{ij} \sim \mathrm{Bernoulli}(1 - p)

    In training the mask is drawn once a forward, and so is the same at all time steps; the masked
    weight goes to torch's fused kernel, and ``weight_hh`` is never written nor renamed. In
    evaluation it is ``nn.LSTM``. ``nn.LSTM``'s own ``dropout`` between layers stays as it is.

    ``torch.compile`` runs recurrent layers eagerly, torch's own and these, so a moving rate costs
    nothing there. Under ``torch.func.vmap``, for which torch has no fused kernel, the layer runs
    step by step. Saved for backward: the masked ``weight_hh`` and its mask.

    Args:
        *args: as in ``nn.LSTM``.
        p: the rate, in [0, 1].
        **kwargs: as in ``nn.LSTM``.

    Shape:
        - As in ``nn.LSTM``, packed sequences included.

    Raises:
        ValueError: if ``p`` is outside [0, 1].
        TypeError: if ``p`` is not a number.

    Example:
        >>> import torch
        >>> plain = nn.LSTM(4, 8, num_layers=2)
        >>> layer = WeightDropLSTM.from_module(plain, 0.5)
        >>> list(layer.state_dict()) == list(plain.state_dict())
        True
        >>> layer.weight_hh_l0 is plain.weight_hh_l0
        True
        >>> layer(torch.randn(5, 3, 4))[0].shape
        torch.Size([5, 3, 8])

    References:
        Merity, Keskar, Socher (2018), *Regularizing and Optimizing LSTM Language Models*, section
        2, https://arxiv.org/abs/1708.02182
    """


class WeightDropGRU(_WeightDrop, nn.GRU):
    """A GRU whose hidden-to-hidden weights are dropped.

    As :class:`WeightDropLSTM`, for ``nn.GRU``.

    Example:
        >>> WeightDropGRU(4, 8, p=0.25).from_module(nn.GRU(4, 8), 0.5)
        WeightDropGRU(4, 8, p=0.5)
    """


class WeightDropRNN(_WeightDrop, nn.RNN):
    """A simple recurrent layer whose hidden-to-hidden weights are dropped.

    As :class:`WeightDropLSTM`, for ``nn.RNN``.

    Example:
        >>> WeightDropRNN(4, 8, p=0.25).from_module(nn.RNN(4, 8), 0.5)
        WeightDropRNN(4, 8, p=0.5)
    """
