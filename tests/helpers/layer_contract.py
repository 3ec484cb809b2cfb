"""A layer under the contract, and how to see from outside what it dropped."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from torch._dynamo.backends.debugging import aot_eager


@dataclass(frozen=True)
class Case:
    """A layer under the contract.

    Attributes:
        name: of the case.
        make: rate -> layer.
        x: () -> input.
        dropped: (forward, layer, x) -> booleans, one for each independent unit.
        plain: (layer, x) -> what evaluation must return.
        at_one: (layer, x) -> what rate 1 must return.
        source: () -> a module whose place it takes, with ``options`` for ``from_module``.
        options: for ``from_module``.
        unbiased: the mean over masks is what evaluation returns.
        graphs: compiled graphs over all rates in (0, 1); 0 where torch runs the layer eagerly.
        keys: of the ``state_dict``.
        drops: it sets units to zero, so that a share can be counted.
        exact_count: the number of units dropped is rounded, not drawn.
        highest: the highest rate below 1 to try.
    """

    name: str
    make: Callable
    x: Callable
    dropped: Callable
    plain: Callable = lambda layer, x: x
    at_one: Callable = lambda layer, x: torch.zeros_like(x)
    source: Callable = lambda: nn.Dropout(0.3)
    options: dict = field(default_factory=dict)
    unbiased: bool = True
    graphs: int = 1
    keys: tuple = ()
    drops: bool = True
    exact_count: bool = False
    highest: float = 0.9

    def __repr__(self):
        return self.name


def first(y):
    """Return the output proper, without the state or the indices that go with it."""
    y = y[0] if isinstance(y, tuple) else y
    return y.data if isinstance(y, nn.utils.rnn.PackedSequence) else y


def by_input(*axes):
    """A unit is an index of these axes; it is dropped where no gradient reaches the input."""

    def dropped(forward, layer, x):
        x = x.detach().requires_grad_()
        y = first(forward(x))
        (y * torch.randn_like(y)).sum().backward()
        return units(x.grad == 0, axes)

    return dropped


def by_weight(name, *axes):
    """A unit is an index of these axes of a weight; dropped where it gets no gradient."""

    def dropped(forward, layer, x):
        weight = layer.get_parameter(name)
        y = first(forward(x))
        (grad,) = torch.autograd.grad((y * torch.randn_like(y)).sum(), weight)
        return units(grad == 0, axes)

    return dropped


def units(zero, axes):
    """Return what is dropped, for each index of ``axes``; whole units are, or nothing of them."""
    axes = [axis % zero.dim() for axis in axes] if axes else list(range(zero.dim()))
    rest = [axis for axis in range(zero.dim()) if axis not in axes]
    if not rest:
        return zero
    assert torch.equal(
        zero.all(dim=rest[0]) if len(rest) == 1 else _all(zero, rest), _any(zero, rest)
    )
    return _all(zero, rest)


def _all(zero, dims):
    for dim in sorted(dims, reverse=True):
        zero = zero.all(dim=dim)
    return zero


def _any(zero, dims):
    for dim in sorted(dims, reverse=True):
        zero = zero.any(dim=dim)
    return zero


def rows_kept(forward, layer, x):
    """A unit is a sample; it is dropped where the block's input came out."""
    return (forward(x) == x).flatten(1).all(dim=1)


def tokens_gone(forward, layer, x):
    """A unit is a token behind the prefix, known by its value."""
    y = first(forward(x))
    patches = x[:, layer.prefix_tokens :, 0]
    return ~(patches.unsqueeze(2) == y[:, None, :, 0]).any(dim=2)


def layers_gone(forward, layer, x):
    """A unit is a layer; each adds a power of two to zeros."""
    sums = [int(forward(torch.zeros(1, 1))) for _ in range(40)]
    return torch.tensor([[not total >> bit & 1 for bit in range(len(layer))] for total in sums])


def without(weights):
    """Return the layer's output with these weights zero."""

    def at_one(layer, x):
        zeros = {name: torch.zeros_like(layer.get_parameter(name)) for name in weights}
        was = layer.training
        y = first(torch.func.functional_call(layer.eval(), zeros, (x,)))
        layer.train(was)
        return y

    return at_one


def own_plain(base):
    """Return the output of torch's own class with the layer's parameters."""

    def plain(layer, x):
        return first(base(layer)(x))

    return plain


def like(cls, *args, **kwargs):
    """Return a function that builds torch's class with a layer's parameters."""

    def build(layer):
        twin = cls(*args, **kwargs)
        twin.load_state_dict(layer.state_dict())
        return twin.eval()

    return build


def counting(*, aot=True):
    """Return a backend of ``torch.compile`` and the list that it grows by one a graph.

    It goes through AOTAutograd as torch's own does, which burns in numbers that dynamo lets move;
    ``aot=False`` does not, and so draws random numbers in the order of eager code.
    """
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return aot_eager(graph, inputs) if aot else graph

    torch._dynamo.reset()
    return backend, graphs


def seeded(function, *args):
    """Return what the function gives from seed 1."""
    torch.manual_seed(1)
    return first(function(*args))


def bound(rate, count):
    """Return how far a share may be from the rate, at five standard errors."""
    return 5 * math.sqrt(rate * (1 - rate) / count) + 1e-9


def share_dropped(case, forward, layer, draws=20):
    """Return the share of units dropped over some forwards, and their number."""
    units = torch.cat([case.dropped(forward, layer, case.x()).flatten() for _ in range(draws)])
    return units.float().mean().item(), len(units)
