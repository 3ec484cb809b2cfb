"""Recurrent layers with the same mask at every time step (Gal and Ghahramani 2016)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from thinned._checks import check_choice
from thinned.layers._locked import packed_rows
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

PLACES = ("input", "hidden", "output")


class _Variational(RecurrentLayer):
    """What the three layers share; the class of torch is the next base of each."""

    def __init__(
        self,
        *args: Any,
        p: float = 0.5,
        mode: str = "batch",
        places: Iterable[str] = PLACES,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if self.dropout:
            msg = (
                f"Expected no `dropout` between layers, got {self.dropout:g}: the locked masks on "
                "the inputs of all layers take its place. Leave `dropout` out and set `p`."
            )
            raise ValueError(msg)
        self.p = p
        self.mask_mode = check_choice("mode", mode, ("batch", "sample"))
        self.places = tuple(check_choice("places", place, PLACES) for place in places)

    @run_eagerly
    def _masked_forward(self, input: Any, hx: Any) -> Any:  # noqa: A002 - torch's own name
        """Run the layer with locked masks."""
        steps, state = enter(self, input, hx)
        step_rows = packed_rows(input) if isinstance(input, PackedSequence) else None
        stepwise = self.mask_mode == "sample" or under_transform()
        lasts = []
        for depth, sides in enumerate(self._directions()):
            if "input" in self.places:
                steps = self._locked(steps, step_rows)
            part = tuple(s[depth * len(sides) : (depth + 1) * len(sides)] for s in state)
            noise = [self._hidden_noise(side, steps.batch) for side in sides]
            if stepwise:
                y, last = run_stepwise(self, steps, part, sides, noise)
            else:
                masked = [_columns(side, n) for side, n in zip(sides, noise, strict=True)]
                y, last = run_fused(self, steps, part, [w for side in masked for w in side])
            steps = Steps(y, steps.batch_sizes)
            lasts.append(last)
        if "output" in self.places:
            steps = self._locked(steps, step_rows)
        return leave(self, input, steps.data, tuple(torch.cat(h) for h in zip(*lasts, strict=True)))

    def _locked(self, steps: Steps, rows: Tensor | None) -> Steps:
        """Drop features, the same ones at each step of a sequence."""
        noise = self._noise(steps.data, [steps.batch, steps.data.shape[-1]])
        return Steps(steps.data * (noise if rows is None else noise[rows]), steps.batch_sizes)

    def _hidden_noise(self, weights: Weights, batch: int) -> Tensor | None:
        if "hidden" not in self.places:
            return None
        rows = batch if self.mask_mode == "sample" else 1
        return self._noise(weights[1], [rows, weights[1].shape[1]])

    def extra_repr(self) -> str:
        """The sizes, the rate and the mode."""
        return f"{super().extra_repr()}, mode={self.mask_mode!r}"


def _columns(weights: Weights, noise: Tensor | None) -> Weights:
    """Multiply the columns of ``weight_hh``: the same as multiplying the hidden state."""
    if noise is None:
        return weights
    return [weights[0], weights[1] * noise, *weights[2:]]


class VariationalLSTM(_Variational, nn.LSTM):
    r"""An LSTM whose masks stay the same over time.

    .. math:: \tilde x_t = x_t \odot \frac{z^x}{1 - p}, \quad \tilde h_t = h_t \odot
        \frac{z^h}{1 - p}, \quad \tilde y_t = h_t \odot \frac{z^y}{1 - p}, \quad
        z \sim \mathrm{Bernoulli}(1 - p)

    In training the masks are drawn once a forward, not once a step; in evaluation it is
    ``nn.LSTM``. Masks on inputs and outputs are drawn for each sequence. The mask on the hidden
    state is one for the batch with ``mode="batch"``: then it is the same as masking columns of
    ``weight_hh``, and torch's fused kernel does the work. With ``mode="sample"`` it is one for each
    sequence, as in the paper, and the layer runs step by step, which takes some times as long.
    ``weight_hh`` is never written. The masks on inputs take the place of ``nn.LSTM``'s own
    ``dropout`` between layers.

    ``torch.compile`` runs recurrent layers eagerly, torch's own and these, so a moving rate costs
    nothing there. Under ``torch.func.vmap``, for which torch has no fused kernel, the layer runs
    step by step. Saved for backward: the masks, and the masked ``weight_hh``.

    Args:
        *args: as in ``nn.LSTM``.
        p: the rate, in [0, 1], of all three masks.
        mode: ``"batch"`` or ``"sample"``, see above.
        places: what is masked, of ``"input"`` (of each layer), ``"hidden"`` and ``"output"`` (of
            the last layer).
        **kwargs: as in ``nn.LSTM``.

    Shape:
        - As in ``nn.LSTM``, packed sequences included.

    Raises:
        ValueError: if ``p`` is outside [0, 1], or ``mode`` or a place is another word.
        TypeError: if ``p`` is not a number.

    Example:
        >>> layer = VariationalLSTM(4, 8, num_layers=2, batch_first=True, p=0.25)
        >>> y, _ = layer(torch.randn(3, 5, 4))
        >>> y.shape
        torch.Size([3, 5, 8])
        >>> dropped = y == 0
        >>> bool((dropped == dropped[:, :1]).all())  # the same features at every step
        True

    References:
        Gal, Ghahramani (2016), *A Theoretically Grounded Application of Dropout in Recurrent Neural
        Networks*, equations 4 to 7, https://arxiv.org/abs/1512.05287
    """


class VariationalGRU(_Variational, nn.GRU):
    """A GRU whose masks stay the same over time.

    As :class:`VariationalLSTM`, for ``nn.GRU``: the same modes, places and guarantees. The mask is
    on what enters the gates; the state that a gate lets through is not masked.

    Example:
        >>> layer = VariationalGRU(4, 8, batch_first=True, p=0.25)
        >>> dropped = layer(torch.randn(3, 5, 4))[0] == 0
        >>> bool((dropped == dropped[:, :1]).all())  # the same features at every step
        True
    """


class VariationalRNN(_Variational, nn.RNN):
    """A simple recurrent layer whose masks stay the same over time.

    As :class:`VariationalLSTM`, for ``nn.RNN``: the same modes, places and guarantees.

    Example:
        >>> layer = VariationalRNN(4, 8, batch_first=True, p=0.25)
        >>> dropped = layer(torch.randn(3, 5, 4))[0] == 0
        >>> bool((dropped == dropped[:, :1]).all())  # the same features at every step
        True
    """
