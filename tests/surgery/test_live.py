import collections
import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from torch import nn

import thinned
from thinned import find_sites
from thinned.surgery._running.trace import trace


def liveness(model, example_input):
    return {s.path: s.live for s in find_sites(model, example_input=example_input)}


class Everything(nn.Module):
    """A live and a dead site of each sort."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.norm = nn.BatchNorm1d(8)
        self.called = nn.Dropout(0.1)
        self.forgotten = nn.Dropout(0.1)
        self.read = nn.Dropout(0.1)
        self.attention_dropout = 0.1
        self.layerdrop = 0.1
        self.numpy_layerdrop = 0.1
        self.python_layerdrop = 0.1
        self.path_drop = 0.1
        self.wrong_dropout = 0.1
        self.calls = 0
        self.seen = []
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        self.seen.append(x.shape)
        self.count += 1
        self.cached = x
        x = self.norm(self.linear(x))
        x = self.called(x)
        x = F.dropout(x, self.attention_dropout, self.training)
        if not torch.rand([]) < self.layerdrop:
            x = x + 1
        if not np.random.uniform() < self.numpy_layerdrop:
            x = x + 2
        if not random.random() < self.python_layerdrop:
            x = x + 4
        if self.training and self.path_drop > 0:
            x = x * (torch.rand(x.shape[0], 1) + (1 - self.path_drop)).floor()
        F.dropout(x, self.wrong_dropout * 0, self.training)
        p = self.read.p if self.training else 0.0
        y = F.scaled_dot_product_attention(*[x.view(1, *x.shape)] * 3, dropout_p=p)
        return {"out": [y]}


def test_a_site_is_live_when_a_forward_follows_it():
    assert liveness(Everything(), torch.randn(5, 8)) == {
        ":attention_dropout": True,
        ":layerdrop": True,
        ":numpy_layerdrop": True,
        ":python_layerdrop": True,
        ":path_drop": True,
        ":wrong_dropout": False,
        "called": True,
        "forgotten": False,
        "read": True,
    }


def test_without_an_input_nothing_is_called_live():
    sites = find_sites(Everything())
    assert len(sites) == 9
    assert {site.live for site in sites} == {None}


def test_the_check_leaves_no_trace():
    net = Everything()
    net.norm.eval()
    net.linear.weight.grad = torch.ones_like(net.linear.weight)
    twin = copy.deepcopy(net)
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    before = [
        torch.random.get_rng_state().clone(),
        np.random.get_state()[1].copy(),
        random.getstate(),
    ]
    assert find_sites(net, example_input=torch.randn(4, 8, generator=torch.Generator()))
    after = [torch.random.get_rng_state(), np.random.get_state()[1], random.getstate()]
    assert torch.equal(before[0], after[0])
    assert (before[1] == after[1]).all()
    assert before[2] == after[2]
    assert [m.training for m in net.modules()] == [m.training for m in twin.modules()]
    for (name, tensor), (_, other) in zip(
        net.state_dict().items(), twin.state_dict().items(), strict=True
    ):
        assert torch.equal(tensor, other), name
    assert torch.equal(net.linear.weight.grad, torch.ones(8, 8))
    assert net.norm.weight.grad is None
    assert vars(net).keys() == vars(twin).keys()
    assert (net.calls, net.seen) == (0, [])
    assert find_sites(net).rates == find_sites(twin).rates


class Remembers(nn.Module):
    """Keeps what it has seen in containers, and in containers in those."""

    def __init__(self):
        super().__init__()
        self.linear, self.drop = nn.Linear(4, 4), nn.Dropout(0.1)
        self.ordered, self.last = collections.OrderedDict(z=0), collections.deque(maxlen=2)
        self.counts, self.nested = collections.defaultdict(int), {"seen": [], "pair": ([], 0)}
        self.sums = [torch.zeros(1)]

    def forward(self, x):
        self.ordered[len(self.ordered)] = 1
        self.last.append(x)
        self.counts["calls"] += 1
        self.nested["seen"].append(x)
        self.nested["pair"][0].append(x)
        self.sums[0].add_(1)
        return self.drop(self.linear(x))


def test_containers_are_put_back():
    net = Remembers()
    assert liveness(net, torch.randn(3, 4)) == {"drop": True}
    assert (dict(net.ordered), list(net.last), dict(net.counts)) == ({"z": 0}, [], {})
    assert net.nested == {"seen": [], "pair": ([], 0)}
    assert net.sums == [torch.zeros(1)]


class Writes(nn.Module):
    """Writes into what it is given."""

    def __init__(self):
        super().__init__()
        self.linear, self.act, self.head = nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        return self.drop(self.head(self.act(self.linear(x.mul_(0.5)))))


@pytest.mark.parametrize(
    "run",
    [
        lambda net, x: find_sites(net, example_input=x),
        lambda net, x: thinned.insert(net, example_input=x),
        thinned.diagnose,
    ],
    ids=["find_sites", "insert", "diagnose"],
)
def test_the_example_is_a_copy(run):
    x = torch.ones(4, 8)
    run(Writes(), x)
    assert torch.equal(x, torch.ones(4, 8))


class Graph(nn.Module):
    """Holds a sparse matrix, as networks on graphs do."""

    def __init__(self, adjacency, sparse_output=False):
        super().__init__()
        self.register_buffer("adjacency", adjacency)
        self.linear, self.drop, self.head = nn.Linear(4, 4), nn.Dropout(0.2), nn.Linear(4, 2)
        self.sparse_output = sparse_output

    def forward(self, x):
        y = self.head(self.drop((self.adjacency @ self.linear(x)).relu()))
        return y.to_sparse() if self.sparse_output else y


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_sparse_buffers_and_outputs(layout):
    matrix = torch.eye(5).to_sparse(layout=layout)
    for net in (Graph(matrix), Graph(matrix, sparse_output=True)):
        assert liveness(net, torch.randn(5, 4)) == {"drop": True}
    assert torch.equal(matrix.to_dense(), torch.eye(5))


def test_what_a_forward_writes_into_a_sparse_buffer_is_put_back():
    class Decays(Graph):
        def forward(self, x):
            self.adjacency.mul_(0.5)
            return super().forward(x)

    net = Decays(torch.eye(5).to_sparse())
    assert liveness(net, torch.randn(5, 4)) == {"drop": True}
    assert torch.equal(net.adjacency.to_dense(), torch.eye(5))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_output():
    class Nests(nn.Sequential):
        def forward(self, x):
            return torch.nested.nested_tensor([*super().forward(x)])

    assert liveness(Nests(nn.Dropout(0.2)), torch.randn(5, 4)) == {"0": True}


def test_the_trace_is_removed_when_the_forward_raises():
    net = Everything().eval()
    with pytest.raises(ValueError, match=r"through Everything, got RuntimeError: mat1 .*\(4, 7"):
        find_sites(net, example_input=torch.randn(4, 7))
    assert net.calls == 0
    assert not net.training
    assert set(find_sites(net).rates.values()) == {0.1}


def test_tuples_are_spread_and_mappings_give_keywords():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.1)

        def forward(self, a, b):
            return self.drop(a) + b

    one = torch.ones(2, 2)
    assert liveness(Two(), (one, one)) == {"drop": True}
    assert liveness(Two(), {"a": one, "b": one}) == {"drop": True}


def test_recurrent_and_attention_layers():
    net = nn.LSTM(4, 4, num_layers=2, dropout=0.3)
    assert liveness(net, torch.randn(3, 2, 4)) == {":dropout": True}
    net = nn.MultiheadAttention(4, 2, dropout=0.3)
    assert liveness(net, (torch.randn(3, 2, 4),) * 3) == {":dropout": True}


def test_one_layer_is_dead_and_says_why():
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        net = nn.GRU(4, 4, dropout=0.3)
    (site,) = find_sites(net, example_input=torch.randn(3, 2, 4))
    assert (site.live, site.note) == (
        False,
        "one layer: torch applies this dropout between layers only",
    )


def test_our_layers_and_hooks_are_live():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    thinned.insert(net, "dropout", 0.2)
    sites = find_sites(net, example_input=torch.randn(3, 4))
    assert len(sites) >= 1
    assert {site.live for site in sites} == {True}


def test_a_compiled_model_is_checked_eagerly():
    net = torch.compile(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1)), backend="eager")
    assert liveness(net, torch.randn(3, 4)) == {"1": True}


def test_a_rate_that_the_input_does_not_bear_says_so():
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.odd_dropout = 0.1
            self.drop = nn.Dropout(0.1)

        def forward(self, x):
            if self.odd_dropout > 0:
                raise RuntimeError("map too small")
            return self.drop(x)

    picky, drop = find_sites(Picky(), example_input=torch.ones(3, 4))
    assert picky.live is None
    assert picky.note == "the forward raised at rate 0.5: RuntimeError: map too small"
    assert drop.live is True


def test_nothing_is_concluded_from_a_forward_that_no_seed_holds():
    class Unsteady(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.1)
            self.idle = nn.Dropout(0.1)
            self.generator = np.random.default_rng()

        def forward(self, x):
            return self.drop(x) + self.generator.random()

    drop, idle = find_sites(Unsteady(), example_input=torch.ones(3, 4))
    assert drop.live is True
    assert idle.live is None
    assert "other results from the same seed" in idle.note


def test_a_forward_may_use_autograd():
    class Gradient(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)
            self.drop = nn.Dropout(0.1)

        def forward(self, x):
            energy = self.drop(self.linear(x)).sum()
            return torch.autograd.grad(energy, self.linear.weight)

    net = Gradient()
    assert liveness(net, torch.ones(2, 2)) == {"drop": True}
    assert net.linear.weight.grad is None


def test_a_lazy_model_is_refused():
    with pytest.raises(ValueError, match=r"lazy parameter '0\.weight'"):
        find_sites(nn.Sequential(nn.LazyLinear(3)), example_input=torch.ones(2, 2))


def test_writing_into_weights_is_reported():
    class Clipped(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))

        def forward(self, x):
            with torch.no_grad():
                self.weight.mul_(0.5)
            return F.dropout(x * self.weight, 0.5)

    with pytest.warns(thinned.ThinnedWarning, match=r"its own weights \(weight"):
        find_sites(Clipped(), example_input=torch.ones(2))


def test_a_random_call_carries_the_rate_or_what_is_kept():
    x = torch.ones(4, 4)
    (draw,) = trace(nn.Dropout(0.37), (x,), {}).draws
    assert draw.carries(0.37)
    assert not draw.carries(0.38)
    assert draw.drops
    assert (draw.file, draw.module) != ("", None)
    assert trace(nn.Dropout(0.0), (x,), {}).draws == ()
