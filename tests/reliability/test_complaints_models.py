"""Complaints about models, as they were made, and the traps that other packages have."""

import copy
import pickle
import types

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    CheckpointImpl,
    checkpoint_wrapper,
)
from torch.nn import functional

import thinned
from helpers import tiny
from helpers.diagnosing import found
from helpers.sampling import DropPath
from thinned import layers


class Ungated(nn.Module):
    """timm's attention before its PR 1978: the rate of a module, asked without its mode."""

    def __init__(self):
        super().__init__()
        self.qkv, self.attn_drop, self.proj_drop_prob = nn.Linear(8, 8), nn.Dropout(0.1), 0.1

    def forward(self, x):
        x = self.qkv(x)
        rate = self.attn_drop.p
        return functional.scaled_dot_product_attention(x, x, x, dropout_p=rate)


class UngatedFloat(Ungated):
    """As in V-JEPA 2: a float."""

    def forward(self, x):
        x = self.qkv(x)
        return functional.scaled_dot_product_attention(x, x, x, dropout_p=self.proj_drop_prob)


@pytest.mark.parametrize("cls", [Ungated, UngatedFloat])
def test_attention_that_reads_a_rate_without_the_mode_drops_in_evaluation(cls):
    model, x = cls(), torch.randn(2, 4, 8)
    [finding] = found(model, x)["alive-in-eval"]
    assert finding.severity == "error"
    model.eval()
    assert not torch.equal(model(x), model(x))


class Vendored(nn.Module):
    """DINOv2's block as it was copied: its second drop path is never called."""

    def __init__(self):
        super().__init__()
        self.attn, self.mlp = nn.Linear(8, 8), nn.Linear(8, 8)
        self.drop_path1, self.drop_path2 = DropPath(0.2), DropPath(0.2)

    def forward(self, x):
        x = x + self.drop_path1(self.attn(x))
        return x + self.drop_path1(self.mlp(x))


def test_a_second_drop_path_that_nothing_calls_is_dead():
    model, x = nn.Sequential(Vendored(), Vendored(), nn.Linear(8, 2)), torch.randn(4, 3, 8)
    live = {site.path: site.live for site in thinned.find_sites(model, example_input=x)}
    assert live == {f"{block}.drop_path{k}": k == 1 for block in (0, 1) for k in (1, 2)}
    assert "dead-site" in found(model, x)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("implementation", CheckpointImpl)
def test_a_checkpoint_wrapper_that_keeps_no_generator_is_found(implementation, keep):
    block = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.3))
    wrapped = checkpoint_wrapper(block, implementation, preserve_rng_state=keep)
    rules = found(nn.Sequential(wrapped, nn.Linear(8, 2)), torch.randn(4, 8))
    assert ("checkpoint-without-rng" in rules) is not keep


class Configured(nn.Module):
    """Hugging Face's way: layers are built from a config, and nothing reads it afterwards."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.dense, self.dropout = nn.Linear(8, 8), nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x):
        return self.dropout(self.dense(x))


def test_one_call_reaches_the_layers_that_a_config_has_built_while_they_train():
    config = types.SimpleNamespace(hidden_dropout_prob=0.1)
    model, x = nn.Sequential(Configured(config), Configured(config)), torch.ones(64, 8)
    config.hidden_dropout_prob = 0.0  # what people try first, in vain
    assert not torch.equal(model(x), model(x))
    for rate in (0.0, 0.9):
        assert thinned.set_rate(model, rate) == 2
        assert (model(x) == 0).float().mean().item() == pytest.approx(rate, abs=0.1)
    assert config.hidden_dropout_prob == 0.0


@pytest.mark.parametrize("variant", ["weight_drop", "variational"])
def test_copies_of_a_swapped_recurrent_model_train_their_own_weights(variant):
    model = nn.ModuleDict({"rnn": nn.LSTM(6, 8, 2, batch_first=True), "head": nn.Linear(8, 2)})
    keys = list(model.state_dict())
    thinned.swap(model, {"LSTM": variant}, rate=0.3)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for _ in range(2):  # a warning is an error
            twin["head"](twin["rnn"](torch.randn(4, 5, 6))[0]).sum().backward()
        assert list(twin.state_dict()) == keys
        assert all(parameter.grad is not None for parameter in twin.parameters())
        assert all(parameter.grad is None for parameter in model.parameters())


def test_an_edited_model_in_evaluation_is_exported_without_any_randomness():
    model, x = tiny.mlp(), torch.randn(2, 8)
    plain = model.eval()(x)
    thinned.swap(model, {"Linear": "dropconnect", "Dropout": "gaussian"}, rate=0.3)
    thinned.insert(model, "dropout", 0.2, after="ReLU", force=True)
    exported = torch.export.export(model.eval(), (x,))
    called = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert called == {"aten.linear.default", "aten.relu.default"}
    torch.testing.assert_close(exported.module()(x), plain)


# Traps of other packages (E in the list).


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.attend, self.out = nn.MultiheadAttention(6, 2, 0.3, batch_first=True), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(self.attend(x, x, x, need_weights=False)[0].mean(1))


class Reads(nn.Module):
    def __init__(self, cls):
        super().__init__()
        self.rnn, self.out = cls(6, 16, 2, batch_first=True, dropout=0.4), nn.Linear(16, 3)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1])


SEQUENCES, VOLUMES = torch.randn(5, 7, 6), torch.randn(5, 2, 4, 4, 4)
KINDS = {
    "Dropout1d": (nn.Sequential(nn.Conv1d(7, 8, 3), nn.Dropout1d()), SEQUENCES),
    "Dropout3d": (nn.Sequential(nn.Conv3d(2, 4, 3), nn.Dropout3d()), VOLUMES),
    "GRU": (Reads(nn.GRU), SEQUENCES),
    "RNN": (Reads(nn.RNN), SEQUENCES),
    "MultiheadAttention": (Attends(), SEQUENCES),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_others_leave_off_in_mc_dropout_is_on(kind):
    model, x = KINDS[kind]
    assert float(thinned.mc_predict(model.eval(), x, 8).std.max()) > 0.0
    assert not any(module.training for module in model.modules())


def test_a_list_of_layers_that_drops_some_loads_through_its_parent():
    def parent(wrap):
        return nn.ModuleDict({"blocks": wrap(nn.ModuleList(nn.Linear(4, 4) for _ in range(3)))})

    plain = parent(lambda blocks: blocks)
    ours = parent(lambda blocks: layers.LayerDrop(blocks, 0.3))
    ours.load_state_dict(plain.state_dict())
    assert list(ours.state_dict()) == list(plain.state_dict())
    assert torch.equal(ours["blocks"][0].weight, plain["blocks"][0].weight)
    plain.load_state_dict(ours.state_dict())
