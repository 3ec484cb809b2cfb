"""Paths leave out what wraps a model, and nothing that is a part of it."""

import copy

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.optim.swa_utils import AveragedModel

import thinned
from thinned.surgery import walk


class Own(nn.Module):
    """Somebody's model with a part that is called as wrappers call what they hold."""

    def __init__(self):
        super().__init__()
        self.module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4, 2))

    def forward(self, x):
        return self.head(self.module(x))


def plain():
    return nn.ModuleDict({"head": nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1))})


def eager(module):
    return torch.compile(module, backend="eager")


WRAPPED = {
    "data parallel": nn.DataParallel,
    "averaged": AveragedModel,
    "compiled": eager,
    "checkpointed": checkpoint_wrapper,
    "twice": lambda module: nn.DataParallel(eager(module)),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("pattern", ["head.*", "module.head.*", "_orig_mod.head.*", "module.*"])
def test_a_wrapper_is_no_part_of_a_path(wrap, pattern):
    net = plain()
    assert [site.path for site in thinned.find_sites(wrap(net))] == ["head.1"]
    assert thinned.set_rate(wrap(net), 0.4, pattern) == 1


def test_a_part_of_a_model_that_is_wrapped_has_the_path_that_it_had():
    net = plain()
    net["head"] = eager(net["head"])
    assert [path for path, _ in walk(net)] == ["", "head", "head", "head.0", "head.1"]
    assert thinned.find_sites(net).rates == {"head.1": 0.1}


@pytest.mark.parametrize("wrap", [lambda net: net, nn.DataParallel, eager, AveragedModel])
def test_a_part_of_ones_own_may_be_called_module(wrap):
    net = wrap(Own())
    assert thinned.find_sites(net).rates == {"module.2": 0.1, "head.2": 0.1}
    assert thinned.set_rate(net, 0.5, "module.*") == 1
    assert thinned.find_sites(net).rates == {"module.2": 0.5, "head.2": 0.1}


def test_a_part_called_module_that_holds_no_site_is_meant_all_the_same():
    net = nn.ModuleDict({"module": nn.Linear(2, 2), "head": nn.Dropout(0.1)})
    with pytest.raises(thinned.NoEffectError, match=r"include='module\.\*'.*head"):
        thinned.set_rate(net, 0.5, "module.*")
    assert net["head"].p == 0.1
    assert not thinned.find_sites(net).select("module.*")
    assert thinned.find_sites(net).select(exclude="module.*").rates == {"head": 0.1}


def test_swap_and_insert_mean_it_too():
    net = Own()
    edit = thinned.swap(net, {"Dropout": "alpha"}, "module", force=True)
    assert [line.split(":")[0].strip() for line in str(edit).splitlines()[1:]] == ["module.2"]
    edit.undo()
    bare = nn.Sequential(Own())
    bare[0].module[2] = bare[0].head[2] = nn.Identity()
    edit = thinned.insert(bare, "dropout", 0.2, "module.*", example_input=torch.ones(2, 4))
    assert edit.sites.rates == {"0.module.1:dropout": 0.2}


@pytest.mark.parametrize(
    "edit",
    [
        lambda net: thinned.swap(net, {"Dropout": "gaussian"}),
        lambda net: thinned.insert(net, "dropout", 0.2, after="Linear", include="head.0"),
    ],
    ids=["swap", "insert"],
)
def test_a_copy_is_stripped_whose_parts_were_wrapped_after_the_edit(edit):
    net = plain()
    done = edit(net)
    copied = copy.deepcopy(net)
    copied["head"] = eager(copied["head"])
    whole = nn.DataParallel(copied)
    assert done.strip(whole) == 1
    assert [site.cls for site in thinned.find_sites(whole)] == ["Dropout"]
