"""What the recurrent layers share: torch's fused kernels, and the same cells step by step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence

from thinned._checks import shown
from thinned.layers._rate import RateLayer
from thinned.layers._sharing import require_class, share_parameters

State = tuple[Tensor, ...]  # (h, c) of an LSTM, (h,) of the others
Weights = list[Tensor]  # of one direction: weight_ih, weight_hh, then biases and weight_hr if any


_Method = TypeVar("_Method", bound=Callable[..., Any])


def run_eagerly(method: _Method) -> _Method:
    """Keep a method out of compiled graphs, as torch keeps its own recurrent layers."""
    why = "torch runs recurrent layers eagerly"
    return cast("_Method", torch.compiler.disable(method, reason=why))  # type: ignore[no-untyped-call]  # torch's


class RecurrentLayer(RateLayer, nn.RNNBase):
    """A recurrent layer with the parameters of torch's, by the same names."""

    @classmethod
    def from_module(cls, module: nn.Module, rate: float, **options: Any) -> Self:
        """Return a layer with the very parameters of the recurrent layer ``module``.

        Args:
            module: the layer of torch that this class extends.
            rate: the rate, in [0, 1].
            **options: the keyword arguments of this class.

        Raises:
            TypeError: if ``module`` is not exactly torch's class: a subclass may compute more.
        """
        base = next(c for c in cls.__mro__ if c in (nn.LSTM, nn.GRU, nn.RNN))
        source = require_class(cls, module, cast("type[nn.RNNBase]", base))
        if source.mode.startswith("RNN_"):
            options.setdefault("nonlinearity", source.mode.removeprefix("RNN_").lower())
        elif source.proj_size:
            options.setdefault("proj_size", source.proj_size)
        build: Callable[..., Self] = cls
        made = build(
            source.input_size,
            source.hidden_size,
            num_layers=source.num_layers,
            bias=source.bias,
            batch_first=source.batch_first,
            bidirectional=source.bidirectional,
            p=rate,
            device="meta",
            **options,
        )
        return share_parameters(made, source)

    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002 - torch's own name
        """Run the layer, with masks in training."""
        if not self._drops():
            return super().forward(input, hx)
        return self._masked_forward(input, hx)

    def _masked_forward(self, input: Any, hx: Any) -> Any:  # noqa: A002 - torch's own name
        raise NotImplementedError

    def _directions(self) -> list[list[Weights]]:
        """The parameters, by layer and direction."""
        sides = 2 if self.bidirectional else 1
        each = [[getattr(self, name) for name in names] for names in self._all_weights]
        return [each[i : i + sides] for i in range(0, len(each), sides)]

    def extra_repr(self) -> str:
        """The sizes and the rate."""
        sizes = nn.RNNBase.extra_repr(self)
        return f"{sizes}, p={self.p:g}"


@dataclass(frozen=True)
class Steps:
    """A batch of sequences, as the kernels take it.

    Attributes:
        data: (T, B, C), or (sum of lengths, C) where packed.
        batch_sizes: how many sequences are not yet at their end, for each step; where packed.
    """

    data: Tensor
    batch_sizes: Tensor | None = None

    @property
    def batch(self) -> int:
        """The number of sequences."""
        return self.data.shape[1] if self.batch_sizes is None else int(self.batch_sizes[0])

    def split(self) -> Sequence[Tensor]:
        """The rows of each step."""
        if self.batch_sizes is None:
            return self.data.unbind(0)
        return torch.split(self.data, self.batch_sizes.tolist())


def enter(layer: nn.RNNBase, x: Tensor | PackedSequence, hx: Any) -> tuple[Steps, State]:
    """Bring the input and the first state of a recurrent layer into one form."""
    sizes = x.batch_sizes if isinstance(x, PackedSequence) else None
    data = x.data if isinstance(x, PackedSequence) else x
    if sizes is None and data.dim() == 2:
        data = data.unsqueeze(0 if layer.batch_first else 1)
    layer.check_input(data, sizes)
    turned = sizes is None and layer.batch_first
    steps = Steps(data.transpose(0, 1) if turned else data, sizes)
    if not len(steps.data):  # the kernel's own words; going step by step it is never asked
        msg = "Expected sequence length to be larger than 0 in RNN"
        raise RuntimeError(msg)
    if hx is None:
        count = layer.num_layers * (2 if layer.bidirectional else 1)
        zeros = steps.data.new_zeros
        h = zeros(count, steps.batch, layer.proj_size or layer.hidden_size)
        if layer.mode != "LSTM":
            return steps, (h,)
        return steps, (h, zeros(count, steps.batch, layer.hidden_size))
    state = _first_state(layer, hx)
    if not isinstance(x, PackedSequence):
        state = _batched(state, x.dim())
    elif x.sorted_indices is not None:
        state = tuple(s.index_select(1, x.sorted_indices) for s in state)
    # The kernels trust these sizes: a wrong one would have them write where nothing is theirs.
    given: Any = state if layer.mode == "LSTM" else state[0]
    layer.check_forward_args(data, given, sizes)
    return steps, state


def _first_state(layer: nn.RNNBase, hx: Any) -> State:
    """Return the given first state as a tuple."""
    lstm = layer.mode == "LSTM"
    state = tuple(hx) if isinstance(hx, (tuple, list)) and lstm else (hx,)
    if len(state) == (2 if lstm else 1) and all(isinstance(s, Tensor) for s in state):
        return state
    wanted = "a pair of tensors (h, c)" if lstm else "a tensor h"
    msg = f"Expected the first state `hx` to be {wanted}, got {shown(hx)}."
    raise TypeError(msg)


def _batched(state: State, rank: int) -> State:
    """Give the state of an unbatched input an axis for the batch."""
    if any(s.dim() != rank for s in state):
        got = ", ".join(f"{s.dim()}-D" for s in state)
        form = "(layers, batch, size)" if rank == 3 else "(layers, size)"
        msg = f"Expected a {rank}-D first state {form} for {rank}-D input, got {got}."
        raise RuntimeError(msg)  # torch's own class of error: in evaluation, torch raises it
    return state if rank == 3 else tuple(s.unsqueeze(1) for s in state)


def leave(layer: nn.RNNBase, x: Tensor | PackedSequence, y: Tensor, state: State) -> Any:
    """Return output and last state in the form that torch's own layers give for this input."""
    if isinstance(x, PackedSequence):
        if x.unsorted_indices is not None:
            state = tuple(s.index_select(1, x.unsorted_indices) for s in state)
        return x._replace(data=y), state if layer.mode == "LSTM" else state[0]
    if x.dim() == 2:
        y, state = y.squeeze(1), tuple(s.squeeze(1) for s in state)
    elif layer.batch_first:
        y = y.transpose(0, 1)
    return y, state if layer.mode == "LSTM" else state[0]


_FUSED: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "LSTM": torch.lstm,
    "GRU": torch.gru,
    "RNN_TANH": torch.rnn_tanh,
    "RNN_RELU": torch.rnn_relu,
}


def run_fused(
    layer: nn.RNNBase,
    steps: Steps,
    state: State,
    weights: Sequence[Tensor],
    *,
    layers: int = 1,
    between: float = 0.0,
) -> tuple[Tensor, State]:
    """Run layers in torch's fused kernel, with these weights in place of the layer's own.

    Args:
        layer: says what the kernel must know.
        steps: the input.
        state: the first state.
        weights: of all directions and layers, in torch's order.
        layers: how many layers they are.
        between: the rate of the kernel's own dropout between layers.
    """
    hx: Any = list(state) if layer.mode == "LSTM" else state[0]
    raw = [weight for weight in layer._flat_weights if weight is not None]
    flat = one_chunk(weights, raw) if weights[0].is_cuda else list(weights)
    common = (flat, layer.bias, layers, between, layer.training, layer.bidirectional)
    kernel = _FUSED[layer.mode]
    if steps.batch_sizes is None:
        y, *last = kernel(steps.data, hx, *common, False)
    else:
        y, *last = kernel(steps.data, steps.batch_sizes, hx, *common)
    return y, tuple(last)


def one_chunk(weights: Sequence[Tensor], raw: Sequence[Tensor]) -> list[Tensor]:
    """Lay ``weights`` out in one piece of memory, in the order that cuDNN gave the raw ones.

    Else cuDNN would warn, and copy them itself at each call. Left as they are where the raw ones
    are in pieces too.
    """
    if len({weight.untyped_storage().data_ptr() for weight in raw}) > 1:
        return list(weights)
    order = sorted(range(len(weights)), key=lambda i: raw[i].storage_offset())
    sizes = [weights[i].numel() for i in order]
    parts = torch.split(torch.cat([weights[i].reshape(-1) for i in order]), sizes)
    placed = dict(zip(order, parts, strict=True))
    return [placed[i].view_as(weight) for i, weight in enumerate(weights)]


def run_stepwise(
    layer: nn.RNNBase,
    steps: Steps,
    state: State,
    sides: Sequence[Weights],
    noise: Sequence[Tensor | None],
) -> tuple[Tensor, State]:
    """Run one layer step by step, with what is fed back multiplied by each side's ``noise``."""
    outputs, lasts = [], []
    for side, (weights, mask) in enumerate(zip(sides, noise, strict=True)):
        first = tuple(s[side] for s in state)
        y, last = _run_side(layer, steps, first, weights, mask, backward=side == 1)
        outputs.append(y)
        lasts.append(last)
    merged = torch.cat(outputs, dim=-1) if len(outputs) > 1 else outputs[0]
    return merged, tuple(torch.stack(parts) for parts in zip(*lasts, strict=True))


def _run_side(
    layer: nn.RNNBase,
    steps: Steps,
    state: State,
    weights: Weights,
    noise: Tensor | None,
    *,
    backward: bool,
) -> tuple[Tensor, State]:
    w_ih, w_hh, *rest = weights
    b_ih, b_hh = (rest[0], rest[1]) if layer.bias else (None, None)
    w_hr = rest[-1] if layer.proj_size else None
    rows = list(Steps(linear(steps.data, w_ih, b_ih), steps.batch_sizes).split())
    if layer.mode == "LSTM":  # under autocast, as the fused kernel does
        state = tuple(s.to(rows[0].dtype) for s in state)
    if backward:
        rows.reverse()
    outputs = []
    for row in rows:
        live = len(row)  # packed sequences are sorted: those still running come first
        fed = state[0][:live]
        fed = fed if noise is None else fed * noise[:live]
        new = _cell(layer.mode, row, linear(fed, w_hh, b_hh), tuple(s[:live] for s in state))
        if w_hr is not None:
            new = (linear(new[0], w_hr), *new[1:])
        outputs.append(new[0])
        state = tuple(
            n if live == len(s) else torch.cat([n, s[live:]])
            for n, s in zip(new, state, strict=True)
        )
    if backward:
        outputs.reverse()
    return (torch.stack(outputs) if steps.batch_sizes is None else torch.cat(outputs)), state


def _cell(mode: str, x: Tensor, h: Tensor, state: State) -> State:
    """One step, from the input's and the hidden state's share in the gates."""
    if mode == "RNN_TANH":
        return (torch.tanh(x + h),)
    if mode == "RNN_RELU":
        return (torch.relu(x + h),)
    if mode == "GRU":
        reset_x, update_x, new_x = x.chunk(3, dim=-1)
        reset_h, update_h, new_h = h.chunk(3, dim=-1)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        return (new + torch.sigmoid(update_x + update_h) * (state[0] - new),)
    let_in, forget, cell, out = (x + h).chunk(4, dim=-1)
    c = torch.sigmoid(forget) * state[1] + torch.sigmoid(let_in) * torch.tanh(cell)
    return torch.sigmoid(out) * torch.tanh(c), c
