import gc
import weakref

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import thinned
from helpers import tiny


def snapshot(model):
    return [(path, id(module)) for path, module in model.named_modules()]


def test_undo_restores_the_very_same_modules_and_hands_over_what_is_live():
    net = tiny.mlp()
    modules = snapshot(net)
    edit = thinned.swap(net, {"Linear": "dropconnect", "Dropout": "dropout"}, rate=0.2)
    net[0].weight = nn.Parameter(torch.full_like(net[0].weight, 2.0))
    net.eval()
    edit.undo()
    assert snapshot(net) == modules
    assert bool((net[0].weight == 2.0).all())
    assert not any(module.training for module in net.modules())


def test_recurrent_layers_get_their_list_of_weights_back():
    lstm = nn.LSTM(4, 4)

    class Masked(nn.LSTM):
        """Stands for a variant that shares the parameters."""

    def policy(module):
        new = Masked(4, 4)
        for name, parameter in module.named_parameters():
            setattr(new, name, parameter)
        return new

    net = nn.Sequential(lstm)
    edit = thinned.swap(net, {"LSTM": policy})
    state = {key: torch.zeros_like(value) for key, value in net.state_dict().items()}
    net.load_state_dict(state, assign=True)
    edit.undo()
    assert net[0] is lstm
    assert bool((lstm(torch.randn(3, 4))[0] == 0).all())


def test_disjoint_edits_undo_in_any_order():
    net = tiny.mlp()
    modules = snapshot(net)
    first = thinned.swap(net, {"Dropout": "spatial"})
    second = thinned.swap(net, {"Linear": "dropconnect"}, rate=0.1)
    third = thinned.insert(net, "dropout", 0.2, after="ReLU")
    for edit in (second, first, third):
        edit.undo()
    assert snapshot(net) == modules
    assert not any(module._forward_hooks for module in net.modules())


def test_an_edit_under_a_later_one_refuses_and_names_it():
    net = tiny.mlp()
    modules = snapshot(net)
    first = thinned.swap(net, {"Dropout": "spatial"}, "2")
    second = thinned.swap(net, {"SpatialDropout": "dropout"})
    with pytest.raises(RuntimeError, match=r"later <Edit \d+: swap, 1 change>.*(?s:.)*-> Dropout"):
        first.undo()
    second.undo()
    first.undo()
    assert snapshot(net) == modules


def test_a_hook_on_a_module_that_was_swapped_later_refuses_too():
    net = tiny.mlp()
    inserted = thinned.insert(net, "dropout", 0.2, after="Linear", include="0")
    swapped = thinned.swap(net, {"Linear": "dropconnect"}, "0", rate=0.1)
    assert len(inserted.sites) == 1
    with pytest.raises(RuntimeError, match="Undo that one first"):
        inserted.undo()
    swapped.undo()
    inserted.undo()
    assert not net[0]._forward_hooks


def test_a_hook_on_what_an_edit_brought_stands_on_it():
    net = tiny.mlp()
    swapped = thinned.swap(net, {"Linear": "dropconnect"}, "0", rate=0.1)
    inserted = thinned.insert(net, "dropout", 0.2, after="DropConnectLinear")
    with pytest.raises(RuntimeError, match=r"insert, 1 change"):
        swapped.undo()
    inserted.undo()
    swapped.undo()


def test_something_that_is_no_edit_in_the_way():
    net = tiny.mlp()
    edit = thinned.swap(net, {"Dropout": "spatial"}, "2")
    net[2] = nn.Identity()
    with pytest.raises(RuntimeError, match="no Edit has replaced"):
        edit.undo()


@pytest.mark.parametrize("by", ["pruned", "parametrized"])
def test_what_was_pruned_or_parametrized_is_not_lost(by):
    net, x = tiny.mlp(), torch.randn(3, 8)
    plain = net[0]
    edit = thinned.swap(net, {"Linear": "dropconnect"}, "0", rate=0.2)
    if by == "pruned":
        prune.l1_unstructured(net[0], "weight", amount=0.5)
    else:
        parametrizations.weight_norm(net[0])
    out = net.eval()(x)
    with pytest.raises(RuntimeError, match=r"'0' gained or lost .*weight.*Take off first"):
        edit.undo()
    assert torch.equal(net(x), out)
    if by == "pruned":
        prune.remove(net[0], "weight")
        edit.undo()
        assert net[0] is plain
        assert torch.equal(net(x), out)


def test_undo_twice_does_nothing():
    net = tiny.mlp()
    edit = thinned.swap(net, {"Dropout": "spatial"})
    edit.undo()
    later = thinned.swap(net, {"Dropout": "spatial"})
    edit.undo()
    assert len(later.sites) == 2
    assert len(edit.sites) == 0
    assert "undone" in repr(edit)


def test_sites_of_an_edit_can_be_driven():
    net = tiny.mlp(0.5)
    edit = thinned.insert(net, "dropout", 0.2, after="Linear")
    assert edit.sites.rates == {"0:dropout": 0.2, "3:dropout": 0.2}
    assert thinned.set_rate(edit.sites, 0.7) == 2
    assert edit.sites.rates == {"0:dropout": 0.7, "3:dropout": 0.7}
    assert net[2].p == 0.5


def test_edits_do_not_keep_models_alive():
    net = tiny.mlp()
    edit = thinned.swap(net, {"Dropout": "spatial"})
    gone = weakref.ref(net[2])
    del net, edit
    gc.collect()
    assert gone() is None


def test_what_is_printed():
    net = tiny.mlp(0.2)
    edit = thinned.swap(net, {"Linear": "dropconnect"}, rate=0.1)
    assert str(edit) == (
        "swap: 2 changes\n"
        "  0: Linear -> DropConnectLinear(in_features=8, out_features=16, bias=True, p=0.1, "
        "mode='batch')\n"
        "  3: Linear -> DropConnectLinear(in_features=16, out_features=16, bias=True, p=0.1, "
        "mode='batch')\n"
        "  left out:\n"
        "    6: the output layer; name it in `include` to swap it too"
    )
