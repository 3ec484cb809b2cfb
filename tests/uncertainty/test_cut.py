"""Forwards that are cut: where, that the samples are the loop's, and what must not be cut."""

import random
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import thinned
from helpers.distribution import assert_same_distribution
from helpers.sampling import Encoder, Functional, Recurrent, conv, loop
from thinned import layers
from thinned.uncertainty import mc_predict
from thinned.uncertainty._cutting.cut import Crossing, Cut, RandomState, forward
from thinned.uncertainty._cutting.flow import UnlikeShownError
from thinned.uncertainty._drawing import draw


def rows(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def cuts(monkeypatch):
    """Cut tiny models where they can be cut, and list the cuts of all forwards that were."""
    seen = []

    def noting(cut, model, x, number, copies, start):
        output = forward(cut, model, x, number, copies, start)
        seen.append(cut)
        return output

    monkeypatch.setattr(draw, "forward", noting)
    monkeypatch.setattr(draw, "FLOPS_A_STEP", 10**9)  # nothing is worth following
    return seen


class Block(nn.Module):
    """A residual block whose way ends in dropout."""

    def __init__(self, rate):
        super().__init__()
        self.norm, self.one, self.two = nn.LayerNorm(16), nn.Linear(16, 32), nn.Linear(32, 16)
        self.drop = nn.Dropout(rate)

    def forward(self, x):
        return x + self.drop(self.two(self.one(self.norm(x)).relu()))


class Vision(nn.Module):
    """Patches, a token for the class, attention: dropout in the last block only."""

    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 16, 4, 4), nn.Parameter(torch.randn(1, 1, 16))
        self.qkv, self.first, self.last = nn.Linear(16, 48), Block(0.0), Block(0.4)
        self.out = nn.Linear(16, 3)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1)
        q, k, v = self.qkv(tokens).unsqueeze(1).chunk(3, dim=-1)  # one head: the fused kernel
        tokens = tokens + functional.scaled_dot_product_attention(q, k, v).squeeze(1)
        return self.out(self.last(self.first(tokens))[:, 0])


class Twice(nn.Module):
    """Calls one layer before and after dropout."""

    def __init__(self):
        super().__init__()
        self.enter, self.same = nn.Linear(6, 8), nn.Linear(8, 8)
        self.drop, self.out = nn.Dropout(0.5), nn.Linear(8, 3)

    def forward(self, x):
        hidden = self.same(self.same(self.enter(x)).relu())
        return self.out(self.same(self.drop(hidden)))


class Gated(nn.Module):
    """Asks for its input again after the dropout: only its own call can be the cut."""

    def __init__(self):
        super().__init__()
        self.one, self.drop = nn.Linear(6, 3), nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.one(x)) * x[:, :3]


class Baked(nn.Module):
    """Asks for the size of the batch before the dropout and uses it after."""

    def __init__(self):
        super().__init__()
        self.one, self.drop, self.out = nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(4, 3)

    def forward(self, x):
        number = len(x)
        return self.out(self.drop(self.one(x)).view(number, 2, 4).sum(1))


class Divided(Baked):
    """Divides by the size of the batch, so that its rows are not independent of each other."""

    def forward(self, x):
        return super().forward(x) / len(x)


class Named(nn.Module):
    """Gets its hidden rows by name, and returns them in a dictionary."""

    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout = 0.5

        def forward(self, *, hidden, scale):
            dropped = functional.dropout(hidden, self.dropout, self.training)
            return {"hidden": dropped * scale, "loss": None}

    def __init__(self):
        super().__init__()
        self.one, self.inner, self.out = nn.Linear(6, 8), self.Inner(), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.inner(hidden=self.one(x), scale=torch.ones(8))["hidden"])


def inserted():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    thinned.insert(model, "dropout", 0.5, include="1")
    return model


def spatial():
    return conv(layers.SpatialDropout(0.4, channel_dim=1))


# Name: model, input, the class at whose call it is cut, whether before it.
PLACES = {
    "head": (lambda: conv(tail=[nn.Dropout(0.5)]), rows(4, 3, 8, 8), nn.Dropout, True),
    "middle": (lambda: conv(nn.Dropout2d(0.3)), rows(4, 3, 8, 8), nn.Dropout2d, True),
    "a layer of ours": (spatial, rows(4, 3, 8, 8), layers.SpatialDropout, True),
    "start": (
        lambda: nn.Sequential(nn.Dropout(0.3), nn.Linear(6, 3)),
        rows(4, 6),
        nn.Dropout,
        True,
    ),
    "two of them": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.2), nn.Linear(8, 3), nn.Dropout(0.3)),
        rows(4, 6),
        nn.Dropout,
        True,
    ),
    "lstm": (lambda: Recurrent(rate=0.0, head=0.5), rows(4, 7, 6), nn.Dropout, True),
    "between layers": (Recurrent, rows(4, 7, 6), nn.LSTM, True),
    "encoder": (Encoder, rows(4, 7, 16), nn.TransformerEncoderLayer, True),
    "residual block": (Vision, rows(4, 3, 8, 8), Block, True),
    "functional": (Functional, rows(4, 6), nn.Linear, False),
    "input again": (Gated, rows(4, 6), Gated, True),
    "a size of the batch": (Baked, rows(4, 6), Baked, True),
    "one layer often": (Twice, rows(4, 6), nn.Dropout, True),
    "by name": (Named, rows(4, 6), Named.Inner, True),
    "a hook": (inserted, rows(4, 6), nn.ReLU, False),
    "one row": (lambda: conv(tail=[nn.Dropout(0.5)]), rows(1, 3, 8, 8), nn.Dropout, True),
}


@pytest.mark.parametrize("name", PLACES)
def test_samples_of_forwards_that_are_cut_are_those_of_the_loop(name, cuts):
    make, x, at, entering = PLACES[name]
    torch.manual_seed(1)
    model = make().eval()
    first = mc_predict(model, x, 40, seed=5, keep_samples=True)
    assert {(type(cut.module()), cut.entering) for cut in cuts} == {(at, entering)}
    assert "samples as one batch" in first.method
    found = mc_predict(model, x, 400, keep_samples=True)
    assert_same_distribution(found.samples, loop(model, x, 400))
    again = [mc_predict(model, x, 40, seed=5, keep_samples=True).samples for _ in range(2)]
    assert torch.equal(first.samples, again[0])  # the first call as well as later ones
    assert torch.equal(again[0], again[1])


def test_the_beginning_runs_once_for_the_rows_and_the_rest_for_all_samples(cuts):
    model = conv(nn.Dropout2d(0.5), tail=[nn.Dropout(0.5)]).eval()
    mc_predict(model, rows(4, 3, 8, 8), 20)
    sizes = []
    for index in (0, 9):
        model[index].register_forward_hook(lambda _m, _a, out: sizes.append(len(out)))
    (cut,) = set(cuts)
    with torch.no_grad():
        forward(cut, model, rows(4, 3, 8, 8), 4, 20, RandomState(rows(4, 3)))
    assert sizes == [4, 80]


@pytest.mark.parametrize(("chunk", "sizes"), [(1, []), (3, [3, 3, 3, 1]), (100, [10])])
def test_chunks_bound_how_many_samples_a_forward_gives(chunk, sizes, monkeypatch, cuts):
    seen = []
    noting = draw.forward
    monkeypatch.setattr(draw, "forward", lambda *given: (seen.append(given[4]), noting(*given))[1])
    model = conv(tail=[nn.Dropout(0.5)]).eval()
    for _ in range(2):
        seen.clear()
        found = mc_predict(model, rows(4, 3, 8, 8), 10, chunk=chunk, keep_samples=True)
        assert seen == sizes
    assert len(found.samples.flatten(1).unique(dim=0)) == 10


class ReadsTheBatch(nn.Module):
    """Goes another way for what the rows hold: before dropout, or after."""

    def __init__(self, early):
        super().__init__()
        self.early, self.one, self.drop = early, nn.Linear(6, 3), nn.Dropout(0.5)

    def forward(self, x):
        hidden = self.one(x)
        sign = 1.0 if self.early and hidden.sum() > 0.0 else -1.0
        dropped = self.drop(hidden)
        return dropped * (sign if self.early or dropped.sum() > 0.0 else 1.0)


class Remembers(nn.Module):
    """Has a memory from one call to the next; ``where`` says how."""

    def __init__(self, where):
        super().__init__()
        self.where, self.one, self.drop = where, nn.Linear(6, 3), nn.Dropout(0.5)
        self.state, self.calls, self.seen = torch.zeros(4, 3), 0, []
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        hidden = self.one(x)
        if self.where == "hidden state":
            hidden = self.state = 0.5 * self.state + hidden
        if self.where == "number":
            self.calls += 1
        if self.where == "list":
            self.seen.append(1)
        if self.where == "buffer":
            self.count.add_(1.0)
        if self.where == "state in place":
            hidden = self.state.mul_(0.5).add_(hidden)
        return self.drop(hidden)


class Around(nn.Module):
    """Draws something beside its dropout."""

    def __init__(self, draw):
        super().__init__()
        self.draw, self.one, self.drop = draw, nn.Linear(6, 3), nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.one(x) + 5.0 * (self.draw() < 0.5))


class WritesItsInput(nn.Module):
    """Works in place, on what it was given."""

    def __init__(self):
        super().__init__()
        self.one, self.drop = nn.Linear(6, 3), nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.one(x.clamp_(-1.0, 1.0)))


class Centred(nn.Module):
    """Looks at all rows after the dropout."""

    def __init__(self):
        super().__init__()
        self.one, self.drop = nn.Linear(6, 3), nn.Dropout(0.5)

    def forward(self, x):
        hidden = self.drop(self.one(x))
        return hidden - hidden.mean(0, keepdim=True)


WHOLE = {
    "a value of the rows": lambda: ReadsTheBatch(early=True),
    "a value of what is random": lambda: ReadsTheBatch(early=False),
    "a hidden state": lambda: Remembers("hidden state"),
    "a hidden state, in place": lambda: Remembers("state in place"),
    "a number that counts": lambda: Remembers("number"),
    "a list that grows": lambda: Remembers("list"),
    "a buffer that counts": lambda: Remembers("buffer"),
    "python's numbers": lambda: Around(random.random),
    "numpy's numbers": lambda: Around(np.random.rand),
    "its input in place": WritesItsInput,
    "rows that depend on each other": Centred,
    "a mask for the batch": lambda: layers.DropConnectLinear(6, 3, p=0.5),
    "a division by their number": Divided,
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_must_not_be_cut_is_not(name, cuts):
    torch.manual_seed(1)
    model = WHOLE[name]().eval()
    found = [mc_predict(model, rows(4, 6), 200, keep_samples=True) for _ in range(3)][-1]
    assert cuts == []
    if name != "a value of the rows":  # which is given back, where operators are followed
        assert "as one batch" not in found.method
    assert_same_distribution(found.samples, loop(model, rows(4, 6), 200))


@pytest.mark.parametrize("inplace", [True, False])
def test_compiled_models_are_not_cut(inplace, cuts):
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 3)).eval()
    compiled = torch.compile(model, backend="eager")
    if inplace:
        model.compile(backend="eager")
        compiled = model
    found = mc_predict(compiled, rows(4, 6), 200, keep_samples=True)
    assert cuts == []
    assert_same_distribution(found.samples, loop(model, rows(4, 6), 200))


@pytest.mark.parametrize("where", ["number", "buffer", "list"])
def test_a_model_that_counts_its_forwards_counts_every_sample(where, cuts):
    model = Remembers(where).eval()
    for _ in range(3):
        before = (model.calls, int(model.count), len(model.seen))
        mc_predict(model, rows(4, 6), 20)
        after = (model.calls, int(model.count), len(model.seen))
        counted = max(a - b for a, b in zip(after, before, strict=True))
        assert counted >= 20


class Lazy(nn.Module):
    """Builds something in its first forward, and uses it from then on."""

    def __init__(self):
        super().__init__()
        self.one, self.drop, self.mask = nn.Linear(6, 3), nn.Dropout(0.5), None

    def forward(self, x):
        if self.mask is None:
            self.mask = torch.ones(3)
        return self.drop(self.one(x)) * self.mask


def test_what_a_first_forward_builds_is_no_memory(cuts):
    model = Lazy().eval()
    mc_predict(model, rows(4, 6), 20)
    assert len(cuts) == 1


class Repeats(nn.Module):
    """Calls its dropout once, or more often."""

    def __init__(self):
        super().__init__()
        self.one, self.drop, self.times, self.noise = nn.Linear(6, 8), nn.Dropout(0.5), 1, 0.0

    def forward(self, x):
        hidden = self.one(x)
        if self.noise:
            hidden = hidden + self.noise * torch.rand(8)
        for _ in range(self.times):
            hidden = self.drop(hidden)
        return hidden


UNLIKE = {
    "called 2 times, not 1": lambda model: setattr(model, "times", 2),
    "called 0 times, not 1": lambda model: setattr(model, "times", 0),
    "something was drawn before the cut": lambda model: setattr(model, "noise", 1.0),
    r"expected \(4, 8\) at the cut, got \(4, 9\)": lambda model: setattr(
        model, "one", nn.Linear(6, 9)
    ),
    r"expected 12 rows, got an output of shape \(1, 96\)": lambda model: (
        model.register_forward_hook(lambda _m, _a, output: output.reshape(1, -1))
    ),
    "expected 1 tensors at the cut, got 2": lambda model: model.drop.register_forward_pre_hook(
        lambda _m, given: (*given, *given)
    ),
}


@pytest.mark.parametrize("message", UNLIKE)
def test_a_forward_that_goes_another_way_is_noticed_as_it_runs(message):
    model, x = Repeats().eval(), rows(4, 6)
    crossing = (Crossing(0, (2, 8), (3, 8)),)
    cut = Cut(weakref.ref(model.drop), 0, 1, True, crossing, 0.5, 16)
    with torch.no_grad():
        assert forward(cut, model, x, 4, 3, RandomState(x)).shape == (12, 8)
        UNLIKE[message](model)
        with pytest.raises(UnlikeShownError, match=message):
            forward(cut, model, x, 4, 3, RandomState(x))
    assert all("passing" not in str(hook) for hook in model.drop._forward_pre_hooks.values())


def test_a_module_that_is_gone_is_noticed():
    cut = Cut(weakref.ref(nn.Linear(1, 1)), 0, 1, True, (), 0.5, 16)
    with pytest.raises(UnlikeShownError, match="the module of the cut is gone"):
        forward(cut, nn.Linear(6, 3), rows(4, 6), 4, 3, RandomState(rows(4, 6)))


def test_a_generator_goes_on_from_where_it_was_when_a_cut_fails(monkeypatch):
    """The samples are then those of a model that was never cut."""
    model, x = conv(nn.Dropout(0.5)).eval(), rows(4, 3, 8, 8)
    monkeypatch.setattr(draw, "FLOPS_A_STEP", 10**9)

    def failing(*given):
        forward(*given)
        raise UnlikeShownError("after it has drawn")

    monkeypatch.setattr(draw, "forward", failing)
    found = mc_predict(model, x, 8, seed=3, keep_samples=True).samples
    torch.manual_seed(3)
    assert torch.allclose(found, loop(model, x, 8), atol=1e-6)
