"""What is on while samples are drawn, and that everything is put back."""

import random
import types

import numpy as np
import pytest
import torch
from torch import nn

import thinned
from helpers.sampling import DropPath, Encoder, Functional, Recurrent, conv
from thinned import layers
from thinned.uncertainty import active_sites, mc_predict, sampling

ROWS = torch.randn(5, 6, generator=torch.Generator().manual_seed(3))
SEQUENCES = torch.randn(5, 7, 6, generator=torch.Generator().manual_seed(3))
IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def modes(model):
    return {name: module.training for name, module in model.named_modules()}


def mixed(model):
    """Give the modules of a model modes that no single call could make."""
    for index, module in enumerate(model.modules()):
        module.training = index % 3 == 0
    return model


def configured():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    thinned.insert(model, "dropout", 0.5, include="1")
    return model


MODELS = {
    "dropout": (lambda: conv(tail=[nn.Dropout(0.5)]), IMAGES),
    "dropout2d": (lambda: conv(nn.Dropout2d(0.5)), IMAGES),
    "alpha": (lambda: conv(tail=[nn.AlphaDropout(0.5)]), IMAGES),
    "feature alpha": (lambda: conv(nn.FeatureAlphaDropout(0.5)), IMAGES),
    "drop block": (lambda: conv(layers.DropBlock2d(0.5, block_size=3)), IMAGES),
    "gaussian": (lambda: conv(tail=[layers.GaussianDropout(0.5)]), IMAGES),
    "drop path of others": (lambda: conv(DropPath()), IMAGES),
    "drop connect": (lambda: nn.Sequential(layers.DropConnectLinear(6, 3, p=0.5)), ROWS),
    "lstm": (Recurrent, SEQUENCES),
    "encoder": (lambda: nn.Sequential(nn.Linear(6, 16), Encoder()), SEQUENCES),
    "functional": (Functional, ROWS),
    "hook": (configured, ROWS),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_site_gives_samples_that_differ(name):
    make, x = MODELS[name]
    found = mc_predict(make().eval(), x, 6)
    assert found.mean.shape == (5, 3)
    assert float(found.std.max()) > 0.0


@pytest.mark.parametrize("name", MODELS)
def test_modes_and_buffers_are_put_back(name):
    make, x = MODELS[name]
    model = mixed(make())
    before, state = modes(model), {k: v.clone() for k, v in model.state_dict().items()}
    mc_predict(model, x, 3)
    assert modes(model) == before
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


class Failing(nn.Module):
    """Raises in its third call."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 3:
            raise RuntimeError("the model's own")
        return x


def test_modes_are_put_back_after_an_error_of_the_model():
    model = mixed(conv(tail=[nn.Dropout(0.5), Failing()]))
    before, fused = modes(model), torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(RuntimeError, match="the model's own"):
        mc_predict(model, IMAGES, 6, batched=False)
    assert modes(model) == before
    assert torch.backends.mha.get_fastpath_enabled() == fused


def test_only_stochastic_modules_are_on():
    model = conv(nn.Dropout2d(0.5), tail=[nn.Dropout(0.0)]).train()
    with sampling(model, active_sites(model)):
        on = [name for name, module in model.named_modules() if module.training]
    assert on == ["4"]
    assert model.training


def test_hooks_that_insert_left_are_on_and_put_back():
    model = configured().eval()
    (site,) = active_sites(model)
    with sampling(model, [site]):
        assert site.owner.training is True
        assert not any(module.training for module in model.modules())
    assert site.owner.training is None


def test_include_chooses_what_stays_on():
    model = conv(nn.Dropout2d(0.5), tail=[nn.Dropout(0.25)])
    assert [site.path for site in active_sites(model)] == ["4", "9"]
    assert [site.path for site in active_sites(model, "4")] == ["4"]
    assert [site.path for site in active_sites(model, "last")] == ["9"]


def test_a_model_without_dropout_is_an_error_that_proposes_insert():
    with pytest.raises(thinned.NoEffectError, match=r"found no dropout.*thinned\.insert"):
        mc_predict(conv(), IMAGES)


def test_rates_of_zero_are_an_error_that_names_them():
    with pytest.raises(thinned.NoEffectError, match=r"found 8 \(0\).*set_rate"):
        mc_predict(conv(tail=[nn.Dropout(0.0)]), IMAGES)


def test_dead_sites_are_said_to_be_dead_and_their_rate_is_no_way_out():
    rnn = nn.LSTM(6, 4)
    rnn.dropout = 0.3
    with pytest.raises(thinned.NoEffectError, match=r"dropout \(0\.3, dead\)\. Insert some"):
        mc_predict(nn.ModuleDict({"rnn": rnn}), ROWS)


@pytest.mark.parametrize("wrong", [{"samples": 2.5}, {"samples": 1}, {"chunk": 1.5}, {"chunk": 0}])
def test_numbers_of_samples_are_whole(wrong):
    model = nn.Sequential(nn.Linear(6, 4), nn.Dropout(0.5))
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"`{name}` to be a number of samples from .* {value}"):
        mc_predict(model, ROWS, **wrong)


@pytest.mark.parametrize("seed", ["a", 1.5, -1])
def test_a_seed_is_a_whole_number(seed):
    told = rf"Expected `seed` to be a whole number from 0 on, got {seed!r}"
    with pytest.raises((ValueError, TypeError), match=told):
        mc_predict(nn.Sequential(nn.Linear(6, 4), nn.Dropout(0.5)), ROWS, seed=seed)
    with pytest.raises((ValueError, TypeError), match=told):
        thinned.callbacks.MCDropout(seed=seed)


class Written(Functional):
    """A rate that stands in the forward itself, as in many MLPs."""

    def forward(self, x):
        hidden = self.one(x).relu()
        return self.two(nn.functional.dropout(hidden, 0.2, training=self.training))


class Both(Written):
    """The same beside a layer."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)
        del self.dropout

    def forward(self, x):
        return self.drop(super().forward(x))


def test_dropout_that_is_written_into_a_forward_is_named_with_its_line():
    model = Written()
    del model.dropout
    with pytest.raises(
        thinned.NoEffectError, match=r"switched on: .*py:\d+: .*hidden, 0\.2.*attrib"
    ):
        mc_predict(model, ROWS)


def test_beside_what_can_be_switched_on_it_is_told():
    model = Both()
    with pytest.warns(thinned.ThinnedWarning, match=r"stays as it is: .*hidden, 0\.2") as told:
        mc_predict(model, ROWS, 4)
    assert [warning.filename for warning in told] == [__file__]
    mc_predict(model, ROWS, 4, include="drop")  # who names the sites has looked


class Unused(nn.Module):
    """Holds a dropout layer that its forward never calls."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(6, 3)

    def forward(self, x):
        return self.out(x)


def test_identical_samples_are_an_error_that_names_the_sites():
    with pytest.raises(thinned.NoEffectError, match=r"4 identical ones.*drop \(0\.5\)"):
        mc_predict(Unused(), ROWS, 4)


def silent(scale):
    """A net whose dropped branch is multiplied by `scale`, as residual branches begin."""

    class Silent(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.branch = (
                nn.Linear(6, 64),
                nn.Sequential(nn.Linear(64, 64), nn.Dropout()),
            )
            self.tail = nn.Linear(64, 3)

        def forward(self, x):
            x = self.body(x)
            y = self.tail(x + scale * self.branch(x))
            place = torch.linspace(0.0, 1.0, len(x))[:, None]
            return y * (1.0 + 1e-6 * place)  # as kernels do, by a row's place in its batch

    return Silent()


@pytest.mark.parametrize("batched", [True, False])
def test_what_rounding_makes_of_one_sample_is_no_spread(batched):
    torch.manual_seed(0)
    model = silent(0.0)
    with pytest.raises(
        thinned.NoEffectError, match=r"20 identical ones.*branch\.1 \(0\.5\).*is zero"
    ):
        mc_predict(model, ROWS, 20, batched=batched)


def test_a_spread_as_small_as_rounding_is_one_if_forwards_by_themselves_differ():
    torch.manual_seed(0)
    found = mc_predict(silent(1e-5), ROWS, 20)
    assert 0.0 < float(found.std.max()) < 1e-4 * float(found.mean.abs().max())


@pytest.mark.parametrize("batched", [True, False])
def test_a_seed_repeats_and_leaves_the_generators_alone(batched):
    model = conv(tail=[nn.Dropout(0.5)])
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    mc_predict(model, IMAGES, 5, batched=batched)  # what is found out at first is kept
    torch.set_rng_state(states[0])
    one, two = (mc_predict(model, IMAGES, 5, seed=7, batched=batched) for _ in range(2))
    other = mc_predict(model, IMAGES, 5, seed=8, batched=batched)
    assert torch.equal(one.mean, two.mean)
    assert not torch.equal(one.mean, other.mean)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]


def test_the_first_call_with_a_seed_is_that_of_later_ones():
    model = nn.Sequential(nn.Linear(6, 64), nn.Dropout(0.5), nn.Linear(64, 3))
    first = mc_predict(model, ROWS, 5, seed=7)
    assert torch.equal(first.mean, mc_predict(model, ROWS, 5, seed=7).mean)


@pytest.mark.parametrize("samples", [1, 0, True, "20"])
def test_a_number_of_samples_that_says_nothing_is_refused(samples):
    with pytest.raises((ValueError, TypeError), match="samples"):
        mc_predict(conv(tail=[nn.Dropout(0.5)]), IMAGES, samples)


class ReadsTheRate(nn.Module):
    """Attention that reads a rate off a dropout that it never calls, as timm's does."""

    def __init__(self):
        super().__init__()
        self.query, self.attn_drop = nn.Linear(6, 6), nn.Dropout(0.5)
        self.proj_drop = nn.Dropout(0.1)

    def forward(self, x):
        q = self.query(x)
        rate = self.attn_drop.p if self.training else 0.0
        return self.proj_drop(nn.functional.scaled_dot_product_attention(q, q, q, dropout_p=rate))


class Holds(nn.Module):
    """Holds a model under a name that wrappers use as well."""

    def __init__(self, model):
        super().__init__()
        self.module = model

    def forward(self, x):
        if self.training:
            raise RuntimeError("in training it wants targets")
        return self.module(x)


class ReadsItself(Holds):
    """Reads a rate off its own dropout, beside what it holds."""

    def __init__(self, model):
        super().__init__(model)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return nn.functional.dropout(self.module(x), self.drop.p, self.training)


class Configured(nn.Module):
    """Reads its rate off a config, as transformers do."""

    def __init__(self):
        super().__init__()
        self.config = types.SimpleNamespace(dropout=0.5)
        self.query = nn.Linear(6, 6)

    def forward(self, x):
        return nn.functional.dropout(self.query(x), self.config.dropout, self.training)


@pytest.mark.parametrize("make", [ReadsTheRate, Configured])
@pytest.mark.parametrize("inside", [False, True])
def test_a_reader_below_an_attribute_named_module_is_on(make, inside):
    model = make().eval()
    held = Holds(nn.Sequential(nn.Identity(), model) if inside else model).eval()
    found = [mc_predict(m, SEQUENCES, 8, seed=0, batched=False) for m in (model, held)]
    assert float(found[0].std.min()) > 0.0
    assert torch.allclose(found[0].std, found[1].std, atol=1e-6)
    assert not any(modes(held).values())


def test_a_reader_that_holds_a_module_of_that_name_is_on():
    model = ReadsItself(nn.Linear(6, 6)).eval()
    with sampling(model, active_sites(model)):
        assert [name for name, on in modes(model).items() if on] == ["", "drop"]
