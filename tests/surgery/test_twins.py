import copy
import math
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from torch import nn

from thinned import ThinnedWarning, find_sites, layers, set_rate
from thinned.surgery import compile_safe
from thinned.surgery._compile.twins import twin_of
from thinned.surgery._models.compiled import Levels


class DropPath(nn.Module):
    """Rows, as timm and Hugging Face have it; the latter draws by rand and floor."""

    def __init__(self, drop_prob=0.1, scale_by_keep=True):
        super().__init__()
        self.drop_prob = drop_prob
        self.scale = scale_by_keep

    def forward(self, x):
        if self.drop_prob == 0.0 or not self.training:
            return x
        keep = 1 - self.drop_prob
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        mask = (keep + torch.rand(shape, dtype=x.dtype)).floor_()
        return x / keep * mask if self.scale else x * mask


class StochasticDepth(nn.Module):
    def __init__(self, p, mode):
        super().__init__()
        self.p = p
        self.how = mode

    def forward(self, x):
        if not self.training or self.p == 0.0:
            return x
        size = [1] * x.ndim if self.how == "batch" else [x.shape[0]] + [1] * (x.ndim - 1)
        return x * torch.empty(size).bernoulli_(1 - self.p).div_(1 - self.p)


class Odd(nn.Module):
    """Called a drop path, and something else."""

    def __init__(self):
        super().__init__()
        self.drop_prob = 0.1

    def forward(self, x):
        return x + self.drop_prob * torch.randn_like(x)


class TwoInputs(DropPath):
    def forward(self, x, residual):
        return residual + super().forward(x)


@pytest.fixture
def count_graphs():
    """A backend that counts the graphs it is given, and runs them as they are."""
    torch._dynamo.reset()

    class Backend:
        graphs = 0

        def __call__(self, graph, inputs):
            self.graphs += 1
            return graph

    yield Backend()
    torch._dynamo.reset()


RATES = [0.05 * k for k in range(20)] + [1.0, 0.0]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.drops = nn.Sequential(
            nn.Dropout(0.1), nn.Dropout1d(0.1), nn.AlphaDropout(0.1), nn.FeatureAlphaDropout(0.1)
        )
        self.maps = nn.Sequential(nn.Dropout2d(0.1), nn.Dropout3d(0.1))
        self.paths = nn.Sequential(
            DropPath(), StochasticDepth(0.1, "row"), StochasticDepth(0.1, "batch")
        )

    def forward(self, x):
        x = self.paths(self.drops(self.linear(x)))
        return self.maps(x[..., None, None]).flatten(2)


def test_no_recompilation_when_rates_move(count_graphs):
    net = Net()
    keys = list(net.state_dict())
    compiled = torch.compile(net, backend=count_graphs)
    assert set_rate(compiled, 0.3, kinds="all") == 9
    assert list(net.state_dict()) == keys
    x = torch.randn(4, 6, 8)
    compiled(x)
    first = count_graphs.graphs
    assert first >= 1
    for rate in RATES:
        assert set_rate(compiled, rate, kinds="all") == 9
        compiled(x)
        assert {site.rate for site in find_sites(net)} == {rate}
    assert count_graphs.graphs == first


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        return self.drop(self.linear(x))


def test_a_model_that_has_run_compiles_once_more(count_graphs):
    net = Small()
    net.compile(backend=count_graphs)
    x = torch.randn(512, 8)
    net(x)
    assert count_graphs.graphs == 1
    for rate in RATES:
        set_rate(net, rate)
        dropped = (net(x) == 0).float().mean().item()
        assert abs(dropped - rate) < 0.05
    assert count_graphs.graphs == 2


def test_in_an_eager_model_nothing_is_exchanged():
    net = Net()
    before = list(net.modules())
    assert set_rate(net, 0.3, kinds="all") == 9
    assert list(net.modules()) == before


def test_only_what_is_asked_for_is_exchanged(count_graphs):
    net = nn.ModuleDict({"a": nn.Dropout(0.1), "b": nn.Dropout(0.1)})
    net.compile(backend=count_graphs)
    assert set_rate(net, 0.3, "a") == 1
    assert isinstance(net["a"], layers.Dropout)
    assert type(net["b"]) is nn.Dropout


def test_only_the_compiled_part_is_exchanged(count_graphs):
    net = nn.ModuleDict({"a": nn.Dropout(0.1), "b": nn.Dropout(0.1)})
    net["a"].compile(backend=count_graphs)
    assert set_rate(net, 0.3) == 2
    assert isinstance(net["a"], layers.Dropout)
    assert type(net["b"]) is nn.Dropout
    assert net["b"].p == 0.3


def test_undo_gives_the_same_objects_back():
    net = Net()
    modules = list(net.modules())
    edit = compile_safe(net)
    assert len(edit) == 9
    assert set(modules) != set(net.modules())
    edit.undo()
    assert list(net.modules()) == modules


@pytest.mark.parametrize(
    "module",
    [
        nn.Dropout(0.3),
        nn.Dropout(0.3, inplace=True),
        nn.Dropout1d(0.3),
        nn.Dropout2d(0.3),
        nn.AlphaDropout(0.3),
        nn.FeatureAlphaDropout(0.3),
    ],
    ids=repr,
)
def test_a_twin_of_torchs_layers_is_bitwise_the_same_when_eager(module):
    twin = twin_of(module)
    assert isinstance(twin, type(module))
    x = torch.randn(4, 6, 5, 5) if isinstance(module, nn.Dropout2d) else torch.randn(4, 6, 5)
    torch.manual_seed(0)
    expected = module(x.clone())
    torch.manual_seed(0)
    assert torch.equal(twin(x.clone()), expected)
    assert torch.equal(twin.eval()(x), x)


@pytest.mark.parametrize(("cls", "shape"), [(nn.Dropout1d, (6, 50)), (nn.Dropout3d, (6, 2, 5, 5))])
def test_a_missing_batch_axis_is_understood_as_torch_does(cls, shape):
    torch._dynamo.reset()
    twin = torch.compile(twin_of(cls(0.5)), backend="eager")
    rows = twin(torch.ones(shape)).flatten(1)
    assert (rows == rows[:, :1]).all()
    assert set(rows.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize(
    ("module", "mode", "scale"),
    [
        (DropPath(0.3), "row", True),
        (DropPath(0.3, scale_by_keep=False), "row", False),
        (StochasticDepth(0.3, "row"), "row", True),
        (StochasticDepth(0.3, "batch"), "batch", True),
    ],
    ids=["timm", "unscaled", "row", "batch"],
)
def test_a_drop_path_is_known_by_what_it_does(module, mode, scale):
    state = torch.random.get_rng_state()
    before = copy.deepcopy(vars(module))
    twin = twin_of(module.eval())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert vars(module).keys() == before.keys()
    assert (twin.p, twin.mode, twin.scale_by_keep, twin.training) == (0.3, mode, scale, False)


@pytest.mark.parametrize("module", [Odd(), TwoInputs(), nn.Linear(2, 2), nn.Identity(), nn.ReLU()])
def test_what_is_no_known_layer_has_no_twin(module):
    assert twin_of(module) is None


class Held(nn.Module):
    """Rates that no exchange can reach."""

    def __init__(self):
        super().__init__()
        self.read = nn.Dropout(0.0)
        self.attention_dropout = 0.0

    def forward(self, x):
        x = F.dropout(x, self.attention_dropout, self.training)
        p = self.read.p if self.training else 0.0
        return F.scaled_dot_product_attention(x, x, x, dropout_p=p)


def test_what_cannot_be_exchanged_moves_in_few_levels(count_graphs):
    net = Held()
    compiled = torch.compile(net, backend=count_graphs)
    sites = find_sites(compiled)
    assert [site.note for site in sites] == ["compiled: its rate takes at most 3 values"] * 2
    assert "at most 3 values" in str(sites)
    x = torch.randn(2, 3, 8)
    held = []
    few_values = pytest.warns(ThinnedWarning, match="at most 3 values, and is .* instead of")
    for step in range(101):
        with few_values if step % 34 else nullcontext():
            set_rate(compiled, 0.004 * step)
        compiled.train()
        compiled(x)
        compiled.eval()
        compiled(x)
        held.append(net.attention_dropout)
        assert net.read.p == net.attention_dropout
    assert len(set(held)) == 3
    assert count_graphs.graphs == 6
    assert max(abs(rate - 0.004 * step) for step, rate in enumerate(held)) <= 0.14


def test_what_was_left_out_says_why():
    edit = compile_safe(Held())
    assert len(edit) == 0
    assert edit.left_out == {
        ":attention_dropout": "no twin for the 'attention_dropout' of Held",
        "read": "its rate is read by the model",
    }


def test_levels_keep_a_place_for_zero():
    levels = Levels(0.5)
    assert levels.most == 3
    asked = [0.4, 0.35, 0.3, 0.2, 0.1, 0.0, 0.5]
    assert [levels.nearest(rate) for rate in asked] == [0.5, 0.35, 0.35, 0.35, 0.35, 0.0, 0.5]


def test_levels_can_be_planned():
    levels = Levels(0.1)
    levels.plan([0.0, 0.2, 0.25])
    assert [levels.nearest(rate) for rate in (0.0, 0.09, 0.11, 0.23, 0.9)] == [
        0,
        0,
        0.2,
        0.25,
        0.25,
    ]
    with pytest.raises(ValueError, match=r"at most 3 rates .* got 5"):
        levels.plan([0.1, 0.2, 0.3, 0.4, 0.5])
    with pytest.raises(ValueError, match="Expected `rates` to be a rate"):
        levels.plan([math.nan])


def test_a_higher_limit_gives_more_levels():
    with torch._dynamo.config.patch(recompile_limit=64):
        assert Levels(0.0).most == 31


def test_recurrent_layers_are_left_alone(count_graphs):
    net = nn.Sequential(nn.LSTM(4, 4, num_layers=2, dropout=0.1))
    net.compile(backend=count_graphs)
    (site,) = find_sites(net)
    assert site.levels is None
    for rate in RATES:
        set_rate(net, rate)
        assert net[0].dropout == rate
        net(torch.randn(3, 2, 4))
    assert count_graphs.graphs == 0
