import copy
import functools
import pickle

import pytest
import torch
from torch import nn

import thinned
from helpers import tiny
from thinned.layers import AlphaDropout, DropConnectLinear, Dropout, SpatialDropout


class Whole(nn.Module):
    """Calls layers one after the other, as no structure shows."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def snapshot(model):
    return [(path, id(module)) for path, module in model.named_modules()]


# ------------------------------------------------------------------------------- keys and values


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        (nn.Linear(4, 4), "dropconnect", "DropConnectLinear"),
        (nn.Conv1d(4, 4, 3), "dropconnect", "DropConnectConv1d"),
        (nn.Conv2d(4, 4, 3), "dropconnect", "DropConnectConv2d"),
        (nn.GRU(4, 4), "weight_drop", "WeightDropGRU"),
        (nn.LSTM(4, 4), "variational", "VariationalLSTM"),
    ],
)
def test_a_name_picks_the_class_that_fits_the_module(module, name, expected):
    net = nn.ModuleDict({"body": module, "head": nn.Linear(4, 2)})
    keys = list(net.state_dict())
    edit = thinned.swap(net, {type(module).__name__: name}, include="body", rate=0.3)
    assert type(net["body"]).__name__ == expected
    assert list(net.state_dict()) == keys
    edit.undo()
    assert net["body"] is module


def test_a_string_is_the_exact_class_name():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout2d(0.2), nn.Conv2d(8, 8, 3), nn.Dropout(0.3))
    edit = thinned.swap(net, {"Dropout": "spatial"})
    assert [type(m) for m in net] == [nn.Conv2d, nn.Dropout2d, nn.Conv2d, SpatialDropout]
    assert len(edit) == 1


def test_a_class_matches_its_subclasses():
    class Mine(nn.Dropout):
        pass

    net = nn.Sequential(nn.Linear(2, 2), Mine(0.2), nn.Dropout(0.3))
    thinned.swap(net, {nn.Dropout: "spatial"})
    assert [type(m) for m in net[1:]] == [SpatialDropout, SpatialDropout]


def test_a_glob_names_several_classes():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout2d(0.2), nn.Dropout(0.3))
    thinned.swap(net, {"Dropout*": "spatial"})
    assert [type(m) for m in net[1:]] == [SpatialDropout, SpatialDropout]


def test_each_site_keeps_its_own_rate_unless_one_is_given():
    net = tiny.mlp(0.25)
    net[5].p = 0.5
    thinned.swap(net, {"Dropout": "spatial"})
    assert (net[2].p, net[5].p) == (0.25, 0.5)
    thinned.swap(net, {"SpatialDropout": "dropout"}, rate=0.1)
    assert (net[2].p, net[5].p) == (0.1, 0.1)


def test_the_first_key_that_matches_wins():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout(0.2), nn.Dropout2d(0.2))
    thinned.swap(net, {nn.Dropout: "spatial", nn.modules.dropout._DropoutNd: "dropout"})
    assert [type(m) for m in net[1:]] == [SpatialDropout, Dropout]


def test_a_key_that_matches_nothing_raises():
    net = tiny.mlp()
    with pytest.raises(thinned.NoEffectError, match=r"'Dropout3d'.*Dropout x2"):
        thinned.swap(net, {"Dropout": "spatial", "Dropout3d": "dropout"})
    assert type(net[2]) is nn.Dropout


def test_partial_gives_options():
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.2))
    spatial = functools.partial(SpatialDropout, channel_dim=1)
    thinned.swap(net, {"Dropout": spatial})
    assert (net[1].channel_dim, net[1].p) == (1, 0.2)


def test_a_policy_may_leave_modules_as_they_are():
    net = tiny.mlp()
    seen = []

    def policy(module):
        seen.append(module)
        return SpatialDropout(0.4, channel_dim=-1) if len(seen) == 1 else None

    edit = thinned.swap(net, {"Dropout": policy})
    assert [len(seen), len(edit)] == [2, 1]
    assert (type(net[2]), type(net[5])) == (SpatialDropout, nn.Dropout)


def test_a_policy_alone_is_asked_about_every_module():
    net = tiny.mlp()
    thinned.swap(net, lambda m: Dropout(0.4) if isinstance(m, nn.Dropout) else None)
    assert (type(net[2]), type(net[5])) == (Dropout, Dropout)


def test_include_and_exclude():
    net = tiny.mlp()
    thinned.swap(net, {"Dropout": "spatial"}, exclude="5")
    assert (type(net[2]), type(net[5])) == (SpatialDropout, nn.Dropout)


# ------------------------------------------------------------------------- what must not be lost


def test_parameters_keys_order_and_optimizer_stay():
    net = tiny.mlp()
    optimizer = torch.optim.Adam(net.parameters())
    keys, parameters = list(net.state_dict()), list(net.parameters())
    plain = copy.deepcopy(net)
    net[0].weight.requires_grad_(False)
    thinned.swap(net, {"Linear": "dropconnect"}, rate=0.3)
    assert [type(net[i]) for i in (0, 3, 6)] == [DropConnectLinear, DropConnectLinear, nn.Linear]
    assert list(net.state_dict()) == keys
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    assert not net[0].weight.requires_grad
    before = net[3].weight.detach().clone()
    net(torch.randn(4, 8)).sum().backward()
    optimizer.step()
    assert not torch.equal(net[3].weight, before)
    plain.load_state_dict(net.state_dict())
    net.load_state_dict(plain.state_dict())


def test_the_output_layer_is_left_out_unless_named():
    net = tiny.mlp()
    edit = thinned.swap(net, {"Linear": "dropconnect"}, include="*", rate=0.1)
    assert list(edit.left_out) == ["6"]
    thinned.swap(net, {"Linear": "dropconnect"}, include="6", rate=0.1)
    assert type(net[6]) is DropConnectLinear


def test_a_pattern_that_matches_all_candidates_does_not_name_the_output_layer():
    model = nn.ModuleDict({"net": tiny.mlp()})
    edit = thinned.swap(model, {"Linear": "dropconnect"}, "net.*", rate=0.1)
    assert list(edit.left_out) == ["net.6"]


def test_only_the_output_layer_matches_and_is_left_out():
    net = nn.Sequential(nn.Conv1d(2, 2, 1), nn.Linear(4, 2))
    with pytest.raises(thinned.NoEffectError, match="1: the output layer"):
        thinned.swap(net, {"Linear": "dropconnect"}, rate=0.1)


def test_hooks_and_handles_go_over_and_come_back():
    net = tiny.mlp()
    calls = []
    early = net[2].register_forward_hook(lambda *_: calls.append("early"))
    edit = thinned.swap(net, {"Dropout": "spatial"})
    net[2].register_forward_hook(lambda *_: calls.append("late"))
    net(torch.randn(2, 8))
    assert calls == ["early", "late"]
    early.remove()
    net(torch.randn(2, 8))
    edit.undo()
    net(torch.randn(2, 8))
    assert calls == ["early", "late", "late", "late"]


def test_mode_device_and_dtype():
    net = tiny.mlp().double().eval()
    net[0].train()
    thinned.swap(net, {"Linear": "dropconnect"}, rate=0.1)
    assert (net[0].training, net[3].training) == (True, False)
    assert net[0].weight.dtype == torch.float64
    meta = tiny.mlp().to("meta")
    thinned.swap(meta, {"Dropout": "dropout"})
    assert meta[2]._rate.device.type == "meta"


def test_a_shared_module_is_replaced_under_all_its_parents():
    drop = nn.Dropout(0.2)
    net = nn.Sequential(nn.Linear(2, 2), drop, nn.Sequential(nn.Linear(2, 2), drop), drop)
    edit = thinned.swap(net, {"Dropout": "spatial"})
    assert net[1] is net[3] is net[2][1]
    assert type(net[1]) is SpatialDropout
    assert len(edit) == 1
    edit.undo()
    assert net[1] is net[3] is net[2][1] is drop


def test_tied_weights_stay_tied(tied):
    thinned.swap(tied, {"Linear": "dropconnect"}, ["mix", "head"], rate=0.2)
    assert type(tied.head) is DropConnectLinear
    assert tied.head.weight is tied.embed.weight
    tied(torch.randint(11, (2, 3))).sum().backward()


def test_twice_is_once():
    net = tiny.mlp()
    thinned.swap(net, {"Dropout": "spatial"})
    modules = snapshot(net)
    again = thinned.swap(net, {"Dropout": "spatial"})
    assert (len(again), again.already) == (0, ("2", "5"))
    assert snapshot(net) == modules
    thinned.swap(net, {"Linear": "dropconnect"}, rate=0.1)
    again = thinned.swap(net, {"Linear": "dropconnect"}, rate=0.1)
    assert again.already == ("0", "3")


def test_twice_is_once_for_a_policy_too():
    net = tiny.mlp()

    def policy(module):
        return Dropout(0.4)

    thinned.swap(net, {"Dropout": policy}, "2")
    assert thinned.swap(net, {"Dropout": policy}, "2").already == ("2",)


# ------------------------------------------------------------------------------------- refusals


def test_attention_dropout_read_for_its_rate_is_refused(attention):
    with pytest.raises(ValueError, match=r"(?s)attn_drop: Attention reads its rate.*exclude="):
        thinned.swap(attention, {"Dropout": "spatial"})
    assert type(attention.proj_drop) is nn.Dropout
    thinned.swap(attention, {"Dropout": "spatial"}, exclude="attn_drop")
    assert type(attention.proj_drop) is SpatialDropout


def test_attention_dropout_may_become_our_compile_safe_twin(attention):
    thinned.swap(attention, {"Dropout": "dropout"})
    assert (type(attention.attn_drop), attention.attn_drop.p) == (Dropout, 0.1)
    attention(torch.randn(2, 3, 8))


def test_alpha_dropout_needs_selu():
    relu = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Dropout(0.1))
    with pytest.raises(ValueError, match="ReLU is before it"):
        thinned.swap(relu, {"Dropout": "alpha"})
    thinned.swap(relu, {"Dropout": "alpha"}, force=True)
    assert type(relu[2]) is AlphaDropout
    selu = nn.Sequential(nn.Linear(2, 2), nn.SELU(), nn.Dropout(0.1))
    thinned.swap(selu, {"Dropout": "alpha"})
    assert type(selu[2]) is AlphaDropout


@pytest.mark.parametrize("before", [nn.Conv1d(3, 4, 3), nn.Linear(3, 4)])
def test_dropout2d_on_fewer_axes_is_refused(before):
    net = nn.Sequential(before, nn.Dropout(0.1))
    with pytest.raises(ValueError, match="expects 4 axes"):
        thinned.swap(net, {"Dropout": nn.Dropout2d})


def test_a_channel_axis_that_nothing_shows_is_asked_for():
    net = Whole(nn.Conv2d(3, 4, 3), nn.Dropout(0.1), nn.Linear(4, 2))
    with pytest.raises(ValueError, match=r"layers.1: SpatialDropout cannot tell.*channel_dim"):
        thinned.swap(net, {"Dropout": "spatial"})


def test_a_rate_is_required_where_there_is_none():
    with pytest.raises(ValueError, match=r"Expected `rate` for '0'.*rate=0.1"):
        thinned.swap(tiny.mlp(), {"Linear": "dropconnect"})


class Turns(nn.Module):
    """Moves the axes, and no class says so."""

    def forward(self, x):
        return x.transpose(1, 2)


def test_nothing_is_looked_for_behind_a_module_that_may_move_the_axes():
    net = nn.Sequential(nn.Conv1d(4, 8, 3), Turns(), nn.Dropout(0.5), Turns(), nn.Conv1d(8, 2, 1))
    with pytest.raises(ValueError, match=r"2: SpatialDropout cannot tell.*channel_dim"):
        thinned.swap(net, {"Dropout": "spatial"})
    passes = nn.Sequential(nn.ReLU(), thinned.layers.GaussianDropout(0.1), nn.ZeroPad1d(1))
    net = nn.Sequential(nn.Conv1d(4, 8, 3), passes, nn.Dropout(0.5), Turns(), nn.Linear(8, 2))
    thinned.swap(net, {"Dropout": "spatial"})
    assert net[2].channel_dim == 1


def test_a_recurrent_layer_without_dropout_has_no_rate_to_take_over():
    net = Whole(nn.LSTM(4, 8), nn.Linear(8, 2))
    with pytest.raises(ValueError, match=r"Expected `rate` for 'layers.0'.*rate=0.1"):
        thinned.swap(net, {"LSTM": "variational"})
    net = Whole(nn.LSTM(4, 8, 2, dropout=0.3), nn.Linear(8, 2))
    assert thinned.swap(net, {"LSTM": "variational"}).sites.rates["layers.0"] == 0.3


def test_a_forward_that_somebody_set_is_not_lost():
    net = tiny.mlp()
    net[0].forward = lambda x: x
    with pytest.raises(ValueError, match="somebody has set a forward on this Linear itself"):
        thinned.swap(net, {"Linear": "dropconnect"}, rate=0.1)
    assert len(thinned.swap(net, {"Linear": "dropconnect"}, exclude="0", rate=0.1)) == 1


def test_what_somebody_set_on_a_module_goes_over():
    net = tiny.mlp()
    net[2].origin, net[0].origin = -1, 7
    edit = thinned.swap(net, {"Dropout": "gaussian", "Linear": "dropconnect"}, "[02]", rate=0.2)
    assert len(edit) == 2
    assert (net[2].origin, net[0].origin) == (-1, 7)
    assert net[2].p == 0.2
    assert "inplace" not in vars(net[2])


def test_the_model_itself_has_no_parent():
    with pytest.raises(
        thinned.NoEffectError, match="The model itself is a LSTM, and has no parent"
    ):
        thinned.swap(nn.LSTM(4, 8), {"LSTM": "variational"}, rate=0.1)


def test_what_a_variant_cannot_stand_in_for_is_listed():
    net = nn.TransformerEncoderLayer(8, 2, 16)
    with pytest.raises(TypeError, match=r"(?s)out_proj: DropConnectLinear.*exclude=\['self_attn"):
        thinned.swap(net, {nn.Linear: "dropconnect"}, rate=0.1)
    edit = thinned.swap(net, {nn.Linear: "dropconnect"}, exclude="out_proj", rate=0.1)
    assert len(edit) == 1
    assert list(edit.left_out) == ["linear2"]


def test_a_replacement_that_moves_keys_is_refused():
    with pytest.raises(ValueError, match=r"keys lost: \['weight', 'bias'\]"):
        thinned.swap(tiny.mlp(), {"Linear": lambda m: nn.Sequential(m)}, "0")
    with pytest.raises(ValueError, match="another Parameter"):
        thinned.swap(tiny.mlp(), {"Linear": lambda m: nn.Linear(8, 16)}, "0")
    with pytest.raises(ValueError, match=r"`thinned.insert\(model, 'stochastic_depth'\)` moves no"):
        thinned.swap(tiny.mlp(), {"Linear": "stochastic_depth"}, "0", rate=0.1)


def test_a_module_without_weights_may_be_wrapped():
    net = tiny.mlp()
    relu = net[1]
    edit = thinned.swap(net, {"ReLU": lambda m: nn.Sequential(m, Dropout(0.2))}, "1")
    assert list(net.state_dict()) == list(tiny.mlp().state_dict())
    edit.undo()
    assert net[1] is relu


@pytest.mark.parametrize(
    ("mapping", "error", "match"),
    [
        ({"Dropout": "spacial"}, ValueError, "Did you mean 'spatial'"),
        ({"Dropot": "spatial"}, thinned.NoEffectError, "Did you mean 'Dropout'"),
        ({"Dropout": 0.3}, TypeError, "Expected a variant's name"),
        ({3: "spatial"}, TypeError, "keys of `mapping`"),
        ({}, ValueError, "an empty one"),
        ("spatial", TypeError, "Expected `mapping` to be a mapping"),
        ({"Dropout": lambda m: "drop"}, TypeError, "to return a module or None"),
        ({"Dropout": lambda m: None}, thinned.NoEffectError, "returned None every time"),
    ],
)
def test_bad_mappings(mapping, error, match):
    with pytest.raises(error, match=match):
        thinned.swap(tiny.mlp(), mapping)


def test_bad_rate():
    with pytest.raises(ValueError, match=r"`rate` to be a rate in \[0, 1\], got 1.5"):
        thinned.swap(tiny.mlp(), {"Dropout": "spatial"}, rate=1.5)


def test_wrapped_models_are_refused():
    with pytest.raises(RuntimeError, match=r"in DataParallel.*Edit before wrapping"):
        thinned.swap(nn.DataParallel(tiny.mlp()), {"Dropout": "spatial"})


def test_scripted_models_are_refused():
    with pytest.warns(DeprecationWarning, match="jit"):
        traced = torch.jit.trace(tiny.mlp().eval(), torch.randn(2, 8), check_trace=False)
    for refused in (
        lambda: thinned.swap(traced, {"Dropout": "spatial"}),
        lambda: thinned.set_rate(traced, 0.1),
        lambda: thinned.find_sites(traced),
    ):
        with pytest.raises(TypeError, match="TorchScript burns the rates in"):
            refused()


@pytest.mark.parametrize("in_place", [True, False])
def test_compiled_models_are_edited_before_and_refused_after_they_ran(in_place):
    torch._dynamo.reset()
    net = Whole(*tiny.mlp())
    if in_place:
        net.compile(backend="eager")
    model = net if in_place else torch.compile(net, backend="eager")
    thinned.swap(model, {"Dropout": functools.partial(SpatialDropout, channel_dim=-1)})
    assert type(net.layers[2]) is SpatialDropout
    model(torch.randn(2, 8))
    with pytest.raises(RuntimeError, match=r"_dynamo.reset\(\)"):
        thinned.swap(model, {"SpatialDropout": "dropout"})
    torch._dynamo.reset()
    thinned.swap(model, {"SpatialDropout": "dropout"})


def test_another_models_compiled_code_is_no_reason_to_refuse():
    torch._dynamo.reset()
    torch.compile(Whole(nn.Linear(8, 8), nn.GELU()), backend="eager")(torch.randn(2, 8))
    model = torch.compile(Whole(*tiny.mlp()), backend="eager")
    thinned.swap(model, {"Dropout": "dropout"})
    torch._dynamo.reset()


# -------------------------------------------------------------- between swap and undo, and pickle


def test_deepcopy_pickle_and_assign_between_swap_and_undo():
    net = tiny.mlp()
    plain, modules = copy.deepcopy(net), snapshot(net)
    edit = thinned.swap(net, {"Linear": "dropconnect", "Dropout": "spatial"}, rate=0.2)
    ema = copy.deepcopy(net)
    again = pickle.loads(pickle.dumps(net))
    assert type(again[0]) is DropConnectLinear
    again(torch.randn(2, 8))
    fresh = {key: value + 1 for key, value in net.state_dict().items()}
    net.load_state_dict(fresh, assign=True)
    edit.undo()
    assert snapshot(net) == modules
    assert all(torch.equal(net.state_dict()[key], fresh[key]) for key in fresh)
    assert edit.strip(ema) == 4
    assert [type(m) for m in ema] == [type(m) for m in plain]
    assert all(torch.equal(ema.state_dict()[k], v) for k, v in plain.state_dict().items())
    assert ema[0].weight is not net[0].weight


def test_strip_wants_a_copy():
    net = tiny.mlp()
    edit = thinned.swap(net, {"Dropout": "spatial"})
    with pytest.raises(ValueError, match=r"Use `undo\(\)`"):
        edit.strip(net)
    ema = copy.deepcopy(net)
    assert edit.strip(ema) == 2
    with pytest.raises(thinned.NoEffectError, match="stripped before"):
        edit.strip(ema)


def test_averaged_model_between_swap_and_undo():
    net = tiny.mlp()
    edit = thinned.swap(net, {"Dropout": "spatial"})
    average = torch.optim.swa_utils.AveragedModel(net, use_buffers=True)
    average.update_parameters(net)
    edit.undo()
    average.update_parameters(net)
    assert edit.strip(average.module) == 2


@pytest.fixture
def process_group(tmp_path):
    """One process that is a group of its own."""
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_models_in_ddp_and_fsdp_are_refused(process_group):
    from torch.distributed.fsdp import fully_shard
    from torch.nn.parallel import DistributedDataParallel

    with pytest.raises(RuntimeError, match="in DistributedDataParallel"):
        thinned.swap(DistributedDataParallel(tiny.mlp()), {"Dropout": "spatial"})
    sharded = Whole(*tiny.mlp())
    mesh = torch.distributed.init_device_mesh("cpu", (1,))
    fully_shard(sharded.layers[3], mesh=mesh)
    with pytest.raises(RuntimeError, match=r"`model.layers.3` in FSDP \(fully_shard\)"):
        thinned.insert(sharded, "dropout", after="ReLU")
