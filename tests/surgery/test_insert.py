import collections
import copy
import functools
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import thinned
from helpers import tiny
from helpers.layer_contract import counting
from thinned.layers import (
    AlphaDropout,
    DropBlock2d,
    Dropout,
    DropPath,
    SpatialDropout,
    StochasticDepth,
)


def net():
    """Return a perceptron without dropout."""
    return nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 3)
    )


def layers(edit):
    """Return path to the layer that was put there."""
    return {site.path: site.owner.layer for site in edit.sites}


class Functional(nn.Module):
    """Activations and pools as functions, one shared activation, one gate."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.norm1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.squeeze = nn.Conv2d(6, 2, 1)
        self.excite = nn.Conv2d(2, 6, 1)
        self.fc1 = nn.Linear(6 * 9, 10)
        self.fc2 = nn.Linear(10, 10)
        self.fc3 = nn.Linear(10, 2)

    def forward(self, x):
        x = torch.relu(self.norm1(self.conv1(x)))
        x = torch.max_pool2d(torch.relu(self.conv2(x)), 2)
        gate = self.excite(torch.relu(self.squeeze(x.mean((2, 3), keepdim=True))))
        x = (x * gate.sigmoid()).flatten(1)
        x = nn.functional.silu(self.fc1(x))
        return self.fc3(torch.relu(self.fc2(x)))


# ---------------------------------------------------------------------------------- by structure


def test_after_the_activations_of_linear_layers():
    model = net()
    keys = list(model.state_dict())
    edit = thinned.insert(model, "dropout", 0.3)
    assert edit.sites.rates == {"1:dropout": 0.3, "3:dropout": 0.3}
    assert all(type(layer) is Dropout for layer in layers(edit).values())
    assert list(model.state_dict()) == keys


def test_auto_takes_whole_channels_after_convolutions():
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.GroupNorm(2, 4), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(64, 2),
    )
    edit = thinned.insert(model)
    assert list(layers(edit)) == ["0.1:dropout", "1.2:dropout"]
    assert all(type(layer) is SpatialDropout for layer in layers(edit).values())
    assert all(layer.channel_dim == 1 for layer in layers(edit).values())


def normed():
    """Return a network in both orders of norm and activation."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)),
        nn.Flatten(),
        nn.Linear(36, 2),
    )


@pytest.mark.parametrize("x", [None, torch.zeros(2, 3, 7, 7)])
def test_auto_comes_after_the_last_batch_norm(x):
    edit = thinned.insert(normed(), example_input=x)
    assert list(layers(edit)) == ["1.2:dropout"]
    assert "batch norm further on" in edit.left_out["0.2"]


@pytest.mark.parametrize("x", [None, torch.zeros(2, 3, 7, 7)])
def test_a_named_variant_goes_after_each_activation_and_its_norm(x):
    edit = thinned.insert(normed(), "spatial", example_input=x)
    assert list(layers(edit)) == ["0.2:dropout", "1.2:dropout"]


def test_auto_takes_alpha_dropout_after_selu():
    edit = thinned.insert(nn.Sequential(nn.Linear(4, 4), nn.SELU(), nn.Linear(4, 2)))
    assert type(layers(edit)["1:dropout"]) is AlphaDropout


def test_dropout_that_is_there_already_is_not_doubled():
    edit = thinned.insert(tiny.mlp())
    assert (len(edit), edit.already) == (0, ("1", "4"))
    assert "there is dropout already, for set_rate: 1, 4" in str(edit)


@pytest.mark.parametrize("example", [torch.randn(2, 1, 8, 8), None], ids=["traced", "structure"])
@pytest.mark.parametrize("drop", [nn.Dropout(0.0), nn.Dropout2d(0.3)])
@pytest.mark.parametrize("between", [nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(2), nn.Identity()])
def test_nor_is_dropout_behind_a_pooling(between, drop, example):
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), between, drop, nn.Conv2d(8, 2, 1))
    edit = thinned.insert(net, example_input=example)
    assert (len(edit), edit.already) == (0, ("1",))
    assert len(thinned.insert(net, "spatial", include="1")) == 1  # who names it wants it there


def test_of_two_readers_both_must_be_dropped():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act, self.drop = nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Dropout(0.3)
            self.pooled, self.plain = nn.Linear(8, 2), nn.Linear(8 * 36, 2)

        def forward(self, x):
            x = self.act(self.conv(x))
            return self.pooled(self.drop(x.mean((2, 3)))) + self.plain(x.flatten(1))

    edit = thinned.insert(Two(), example_input=torch.randn(2, 1, 8, 8))
    assert list(layers(edit)) == ["act:dropout"]


@pytest.mark.parametrize("x", [None, torch.ones(2, 4)])
def test_the_output_layer_gets_nothing(x):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2), nn.Tanh())
    edit = thinned.insert(model, example_input=x)
    assert list(layers(edit)) == ["1:dropout"]
    assert "output layer" in edit.left_out["3"]
    with pytest.raises(thinned.NoEffectError, match="3: the output layer"):
        thinned.insert(model, include="3", example_input=x)


def test_what_structure_does_not_decide_is_listed():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
            self.act = nn.ReLU()
            self.rnn = nn.GRU(4, 4)
            self.head = nn.Linear(4, 2)

    edit = thinned.insert(Two())
    assert list(layers(edit)) == ["body.1:dropout"]
    assert set(edit.left_out) == {"act", "rnn", "residual blocks"}


def test_nothing_to_insert_says_what_the_model_holds():
    with pytest.raises(thinned.NoEffectError, match=r"(?s)place for 'auto'.*Linear x1"):
        thinned.insert(nn.Sequential(nn.Linear(2, 2)))


def test_include_and_exclude():
    assert list(layers(thinned.insert(net(), include="1"))) == ["1:dropout"]
    assert list(layers(thinned.insert(net(), exclude="1"))) == ["3:dropout"]


def test_twice_is_once():
    model = net()
    thinned.insert(model, "dropout", 0.3)
    again = thinned.insert(model, "dropout", 0.3)
    assert (len(again), again.already) == (0, ("1", "3"))
    with pytest.raises(thinned.NoEffectError, match=r"inserted before, at rate 0.3; use set_rate"):
        thinned.insert(model, "dropout", 0.4)


# ----------------------------------------------------------------------------------- by the user


def test_after_names_the_modules():
    model = net()
    assert list(layers(thinned.insert(model, "dropout", after="GELU"))) == ["3:dropout"]
    edit = thinned.insert(model, "dropout", after=nn.Linear)
    assert list(layers(edit)) == ["0:dropout", "2:dropout"]
    assert "output layer" in edit.left_out["4"]
    named = thinned.insert(model, "dropout", after=nn.Linear, include="4")
    assert list(layers(named)) == ["4:dropout"]


def test_the_input_only_when_asked():
    model = net().train()
    edit = thinned.insert(model, "dropout", 0.5, after="input")
    seen = []
    model[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(torch.ones(4, 8))
    assert list(layers(edit)) == [":dropout"]
    assert set(seen[0].unique().tolist()) == {0.0, 2.0}
    inner = thinned.insert(model, "dropout", 0.5, include="2", after="input")
    assert list(layers(inner)) == ["2:dropout"]


class Given(nn.Module):
    """Has one linear layer whose result comes in a mapping."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 64)

    def forward(self, x):
        return collections.OrderedDict(rows=len(x), hidden=self.linear(x), ids=x.argmax(-1))


def test_a_tensor_that_is_given_by_name_or_returned_in_a_mapping():
    model, x = Given(), torch.randn(2, 64)
    edit = thinned.insert(model, "dropout", 0.5, after="input")
    assert not torch.equal(model(x=x)["hidden"], model(x=x)["hidden"])
    edit.undo()
    model = nn.ModuleList([model])
    thinned.insert(model, "dropout", 0.5, after="Given")
    out = model[0](x)
    assert (out["hidden"] == 0).any()
    assert (list(out), out["rows"]) == (["rows", "hidden", "ids"], 2)


class Unread(nn.Module):
    """Calls one layer that nothing reads, one in training only, and one not at all."""

    def __init__(self):
        super().__init__()
        self.lstm, self.spare = nn.LSTM(4, 8, batch_first=True), nn.GELU()
        self.act, self.extra, self.head = nn.ReLU(), nn.Tanh(), nn.Linear(8, 2)

    def forward(self, x):
        h = self.act(self.lstm(x)[1][0][-1])
        return self.head(self.extra(h) if self.training else h)


def test_after_what_a_run_shows_to_be_dead_nothing_is_put():
    model, x = Unread(), torch.randn(2, 5, 4)
    classes = ["LSTM", "GELU", "ReLU", "Tanh"]
    edit = thinned.insert(model, "dropout", 0.5, after=classes, example_input=x)
    assert list(edit.sites.rates) == ["act:dropout", "extra:dropout"]
    assert list(edit.left_out) == ["lstm", "spare"]
    assert "nothing read" in edit.left_out["lstm"]
    assert "did not call it" in edit.left_out["spare"]
    with pytest.raises(thinned.NoEffectError, match="nothing read"):
        thinned.insert(model, "dropout", 0.5, after="LSTM", example_input=x)
    words = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
    with pytest.raises(thinned.NoEffectError, match="no single floating-point tensor"):
        thinned.insert(words, "dropout", after="input", example_input=torch.ones(2, 3).long())


@pytest.mark.parametrize("after", ["MaxPool2d", "BatchNorm2d", "ReLU"])
def test_named_places_on_feature_maps_are_rows_of_the_table(after):
    def made():
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3)
        )

    for variant, wanted in (("auto", SpatialDropout), ("dropblock", DropBlock2d)):
        edit = thinned.insert(made(), variant, 0.2, after=after)
        assert [type(layer) for layer in layers(edit).values()] == [wanted]
    edit = thinned.insert(made(), "dropblock", 0.2, include="4", after="input")
    assert [type(layer) for layer in layers(edit).values()] == [DropBlock2d]


def test_a_name_takes_the_class_for_as_many_axes():
    model = nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.Conv1d(4, 2, 3))
    thinned.insert(model, "dropblock", 0.2)
    assert model(torch.randn(2, 3, 20)).shape == (2, 2, 16)


def test_another_variant_is_not_what_was_asked_for():
    model = net()
    thinned.insert(model, "dropout", 0.2)
    with pytest.raises(thinned.NoEffectError, match=r"1: Dropout\(p=0\.2.*\) inserted before"):
        thinned.insert(model, "gaussian", 0.2)


def test_options_by_partial():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    edit = thinned.insert(model, functools.partial(SpatialDropout, channel_dim=-1), 0.2)
    assert layers(edit)["1:dropout"].channel_dim == -1


def test_the_rate_of_a_partial_is_taken_unless_another_is_given():
    half = functools.partial(Dropout, p=0.5)
    assert set(thinned.insert(net(), half).sites.rates.values()) == {0.5}
    assert set(thinned.insert(net(), half, 0.2).sites.rates.values()) == {0.2}
    assert set(thinned.insert(net()).sites.rates.values()) == {0.1}


@pytest.mark.parametrize(
    ("variant", "error", "match"),
    [
        (functools.partial(Dropout, 0.5), TypeError, "options of Dropout by name"),
        (functools.partial(Dropout, foo=1), TypeError, "options of Dropout, got 'foo'. It takes"),
        (functools.partial(StochasticDepth, foo=1), TypeError, "StochasticDepth, got 'foo'"),
        (functools.partial(StochasticDepth, mode="skp"), ValueError, "Did you mean 'skip'"),
        (functools.partial(DropPath, mode="skip"), ValueError, "`mode` to be one of 'row'"),
    ],
)
def test_options_that_the_layer_does_not_know(variant, error, match):
    with pytest.raises(error, match=match):
        thinned.insert(net(), variant)


def test_recurrent_layers_get_one_mask_for_all_steps():
    model = nn.ModuleDict({"rnn": nn.GRU(4, 50, batch_first=True), "head": nn.Linear(50, 2)})
    thinned.insert(model, "spatial", 0.5, after="GRU")
    out, _ = model["rnn"](torch.randn(3, 7, 4))
    dropped = out == 0
    assert bool(dropped.any())
    assert bool((dropped == dropped[:, :1]).all())


def test_packed_sequences_keep_their_mask_over_time():
    model = nn.ModuleDict({"rnn": nn.GRU(4, 50), "head": nn.Linear(50, 2)})
    thinned.insert(model, "spatial", 0.5, after="GRU")
    packed = nn.utils.rnn.pack_sequence([torch.randn(n, 4) for n in (5, 3, 1)])
    out, lengths = nn.utils.rnn.pad_packed_sequence(model["rnn"](packed)[0])
    assert lengths.tolist() == [5, 3, 1]
    first, second = out[:5, 0] == 0, out[:3, 1] == 0
    assert bool(first.any())
    assert bool((first == first[:1]).all())
    assert bool((second == second[:1]).all())
    assert not torch.equal(first[0], second[0])


def test_what_makes_sequences_shorter_goes_only_where_it_is_named():
    model = net()
    with pytest.raises(ValueError, match="Expected `after` to say where TokenDrop goes"):
        thinned.insert(model, "token_drop", 0.5)
    embed = nn.Sequential(nn.Linear(4, 8), nn.TransformerEncoderLayer(8, 2, 8, batch_first=True))
    edit = thinned.insert(embed, "token_drop", 0.5, after="Linear", include="0")
    assert embed(torch.randn(2, 9, 4)).shape == (2, 5, 8)
    edit.undo()


def test_a_packed_sequence_is_one_argument_of_an_example():
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.up, self.head = nn.GRU(4, 8), nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, packed):
            return self.head(torch.relu(self.up(self.rnn(packed)[0].data)))

    packed = nn.utils.rnn.pack_sequence([torch.randn(n, 4) for n in (3, 1)])
    model = Tagger()
    assert thinned.insert(model, example_input=packed).sites.rates == {"head:dropout": 0.1}
    assert thinned.find_sites(model, "head", example_input=packed)[0].live


@pytest.mark.parametrize("batch_first", [True, False])
def test_locked_dropout_reads_the_axis_of_time_off_the_recurrent_layer(batch_first):
    rnn = nn.LSTM(4, 50, batch_first=batch_first)
    model = nn.ModuleDict({"rnn": rnn, "head": nn.Linear(50, 2)})
    thinned.insert(model, "locked", 0.5, after="LSTM")
    dropped = model["rnn"](torch.randn(3, 7, 4))[0] == 0
    dropped = dropped if batch_first else dropped.transpose(0, 1)  # samples first
    assert bool((dropped == dropped[:, :1]).all())
    assert not torch.equal(dropped[0], dropped[1])


def test_locked_dropout_keeps_its_mask_over_a_packed_sequence():
    model = nn.ModuleDict({"rnn": nn.GRU(4, 50), "head": nn.Linear(50, 2)})
    thinned.insert(model, "locked", 0.5, after="GRU")
    packed = nn.utils.rnn.pack_sequence([torch.randn(n, 4) for n in (5, 3)])
    out, _ = nn.utils.rnn.pad_packed_sequence(model["rnn"](packed)[0])
    first = out[:5, 0] == 0
    assert bool(first.any())
    assert not bool(first.all())
    assert bool((first == first[:1]).all())


def test_locked_dropout_is_not_put_where_nothing_shows_the_axis_of_time():
    # On (N, C) its default would drop whole samples.
    with pytest.raises(thinned.NoEffectError, match="nothing shows the axis of time"):
        thinned.insert(net(), "locked", 0.5)
    said = functools.partial(thinned.layers.LockedDropout, time_dim=1)
    assert len(thinned.insert(net(), said, 0.5)) == 2


@pytest.mark.parametrize("variant", ["spatial", "feature_alpha"])
def test_whole_channels_are_not_dropped_where_nothing_shows_their_axis(variant):
    # On (B, T, C) axis 1 would drop tokens.
    model = nn.ModuleList([nn.TransformerEncoderLayer(8, 2, 16)])
    with pytest.raises(thinned.NoEffectError, match=r"0: .*nothing shows"):
        thinned.insert(model, variant, 0.5, after="TransformerEncoderLayer", force=True)
    said = functools.partial(SpatialDropout, channel_dim=-1)
    assert len(thinned.insert(model, said, 0.5, after="TransformerEncoderLayer")) == 1


# --------------------------------------------------------------------------- what must be refused


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"variant": "dropuot"}, ValueError, "Did you mean 'dropout'"),
        *(
            ({"variant": name}, TypeError, "takes the place of another layer.*`thinned.swap`")
            for name in ("dropconnect", "word", "variational", "weight_drop", "layer_drop")
        ),
        ({"variant": "concrete"}, TypeError, "a parameter of its own.*Build it into the model"),
        ({"variant": 3}, TypeError, "Expected `variant` to be 'auto'"),
        ({"variant": nn.Dropout}, TypeError, "Expected `variant` to be 'auto'"),
        ({"variant": "alpha"}, ValueError, "Expected SELU before alpha dropout"),
        ({"rate": 2.0}, ValueError, r"`rate` to be a rate in \[0, 1\], got 2.0"),
        ({"after": 3}, TypeError, "a module class or its name, or several, got 3"),
        ({"after": "Conv9d"}, thinned.NoEffectError, "Expected a module of 'Conv9d' in include"),
        ({"after": ["GELU", "ReLu"]}, thinned.NoEffectError, "of 'ReLu' .*Did you mean 'ReLU'"),
        ({"variant": "stochastic_depth"}, thinned.NoEffectError, "Expected a place"),
        ({"example_input": torch.zeros(0, 8)}, ValueError, r"a sample at least, .*\(0, 8\)"),
        ({"example_input": torch.zeros(2, 5)}, ValueError, r"to run through Sequential.*\(2, 5\)"),
    ],
)
def test_bad_arguments(options, error, match):
    with pytest.raises(error, match=match):
        thinned.insert(net(), **options)


def test_alpha_without_selu_when_forced():
    assert len(thinned.insert(net(), "alpha", force=True)) == 2


def test_wrapped_models_are_refused():
    with pytest.raises(RuntimeError, match="Edit before wrapping"):
        thinned.insert(nn.DataParallel(net()))


def test_lazy_models_are_refused():
    with pytest.raises(ValueError, match="lazy"):
        thinned.insert(nn.Sequential(nn.LazyLinear(3)), example_input=torch.zeros(2, 5))


# ------------------------------------------------------------------------------------- by a run


def test_a_run_shows_activations_that_are_functions():
    model = Functional()
    edit = thinned.insert(model, rate=0.2, example_input=torch.randn(2, 3, 10, 10))
    found = layers(edit)
    assert "batch norm" not in "".join(edit.left_out.values())
    assert {path: type(layer) for path, layer in found.items()} == {
        "conv2:dropout": SpatialDropout,
        "fc2:dropout": Dropout,
        "fc3:dropout": Dropout,
    }


def test_dense_connections_get_it_after_their_last_activation():
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.grow = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
            self.norm, self.act = nn.BatchNorm2d(8), nn.ReLU()
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            x = self.first(x)
            x = self.act(self.norm(torch.cat([x, self.grow(x)], 1)))
            return self.head(x.mean((2, 3)))

    edit = thinned.insert(Dense(), example_input=torch.randn(2, 3, 4, 4))
    assert list(layers(edit)) == ["act:dropout"]


def test_a_run_leaves_no_trace():
    model = Functional()
    model.fc1.eval()
    modes = [module.training for module in model.modules()]
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    thinned.insert(model, example_input=torch.randn(2, 3, 10, 10, generator=torch.Generator()))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())


def test_functional_dropout_is_not_doubled():
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            x = nn.functional.dropout(torch.relu(self.a(x)), 0.2, self.training)
            return self.c(torch.relu(self.b(x)))

    edit = thinned.insert(Dropping(), example_input=torch.randn(2, 4))
    assert list(layers(edit)) == ["c:dropout"]
    assert len(edit.already) == 1


def test_a_run_shows_whether_a_recurrent_output_is_read():
    class Reader(nn.Module):
        def __init__(self, state):
            super().__init__()
            self.rnn, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 2)
            self.state = state

        def forward(self, x):
            out, (hidden, _) = self.rnn(x)
            return self.head(hidden[-1] if self.state else out[:, -1])

    x = torch.randn(3, 5, 4)
    edit = thinned.insert(Reader(state=False), example_input=x)
    assert layers(edit)["rnn:inserted_dropout"].batch_dim == 0  # `rnn:dropout` is the LSTM's own
    with pytest.raises(thinned.NoEffectError, match="rnn: nothing that is trained reads"):
        thinned.insert(Reader(state=True), example_input=x)


@pytest.mark.parametrize("as_", ["tuple", "mapping"])
def test_several_arguments(as_):
    class Adder(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x, bias):
            return self.b(torch.relu(self.a(x + bias)))

    x = (torch.randn(2, 4), torch.randn(4))
    given = x if as_ == "tuple" else dict(zip(("x", "bias"), x, strict=True))
    assert list(layers(thinned.insert(Adder(), example_input=given))) == ["b:dropout"]


# -------------------------------------------------------------------------- what it does and not


def test_dropping_in_training_and_not_in_evaluation():
    model = net()
    x = torch.randn(64, 8)
    plain = model(x)
    edit = thinned.insert(model, "dropout", 0.5)
    assert not torch.equal(model(x), plain)
    assert torch.equal(model.eval()(x), plain)
    thinned.set_rate(edit.sites, 0.0)
    assert torch.equal(model.train()(x), plain)
    model[1].eval()
    thinned.set_rate(edit.sites, 0.9)
    seen = []
    model[2].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(x)
    assert torch.equal(seen[0], torch.relu(model[0](x)))


def test_the_mode_may_be_overruled_for_one_place():
    model = net().eval()
    edit = thinned.insert(model, "dropout", 0.5)
    x = torch.randn(4, 8)
    plain = model(x)
    for site in edit.sites:
        assert site.owner.training is None
        site.owner.training = True
    assert not torch.equal(model(x), plain)


def test_deepcopy_pickle_and_strip():
    model = net()
    edit = thinned.insert(model, "dropout", 0.5)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert thinned.find_sites(other).rates == {"1:dropout": 0.5, "3:dropout": 0.5}
        thinned.set_rate(other, 0.1)
        assert edit.sites.rates == {"1:dropout": 0.5, "3:dropout": 0.5}
        assert edit.strip(other) == 2
        assert len(thinned.find_sites(other)) == 0
    edit.undo()
    assert not any(m._forward_hooks for m in model.modules())


def test_strip_finds_its_hooks_below_a_wrapper():
    inner = torch.compile(net(), backend="eager")
    for model in (nn.Sequential(inner), nn.ModuleDict({"module": net()})):
        edit = thinned.insert(model, "dropout", after="ReLU")
        assert edit.strip(copy.deepcopy(model)) == 1
        assert edit.strip(torch.optim.swa_utils.AveragedModel(model)) == 1


def test_checkpoints_load_both_ways():
    model, plain = net(), net()
    edit = thinned.insert(model, example_input=torch.randn(2, 8))
    plain.load_state_dict(model.state_dict())
    model.load_state_dict(plain.state_dict())
    fresh = {key: value + 1 for key, value in model.state_dict().items()}
    model.load_state_dict(fresh, assign=True)
    edit.undo()
    assert all(torch.equal(model.state_dict()[key], value) for key, value in fresh.items())


def test_a_new_rate_at_each_step_compiles_once():
    model = Functional()
    edit = thinned.insert(model, example_input=torch.randn(2, 3, 10, 10))
    backend, graphs = counting()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    x = torch.randn(2, 3, 10, 10)
    outputs = []
    for step in range(20):
        assert thinned.set_rate(edit.sites, step / 19) == 3
        outputs.append(compiled(x))
    assert len(graphs) == 1
    assert torch.allclose(outputs[-1], model.fc3.bias.expand(2, 2))
    torch._dynamo.reset()


def test_stochastic_depth_without_an_example_says_what_is_missing():
    class Any(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Linear(2, 2)

    with pytest.raises(thinned.NoEffectError, match="pass example_input="):
        thinned.insert(Any(), StochasticDepth)


def test_a_packed_sequence_is_named_as_the_reason():
    class Packs(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 2)

        def forward(self, x):
            lengths = torch.full((len(x),), x.shape[1])
            packed, _ = self.rnn(nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True))
            return self.head(nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)[0])

    with pytest.raises(thinned.NoEffectError, match="rnn: it returns a packed sequence"):
        thinned.insert(Packs(), example_input=torch.randn(2, 5, 4))
