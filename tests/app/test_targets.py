"""The guard around `_target_`: a string first, then what was really found."""

import os
import pickle

import pytest
import pytorch_lightning as pl
import torch

from thinned.app._errors import ConfigError
from thinned.app._targets import check_object, check_target
from thinned.schedules import Linear


@pytest.mark.parametrize(
    "target",
    [
        "thinned.schedules.Linear",
        "pytorch_lightning.Trainer",
        "lightning.pytorch.Trainer",
        "torch.optim.AdamW",
        "torch.nn.ReLU",
        "torchmetrics.Accuracy",
    ],
)
def test_listed_packages_pass(target):
    assert check_target("x", target) == target


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "torch.load",
        "torch.hub.load",
        "thinnedly.evil",
        "numpy.load",
        "subprocess.run",
        "pathlib.Path",
        "torch",
    ],
)
def test_others_are_refused_before_anything_is_imported(target):
    with pytest.raises(ConfigError, match=r"`x._target_` to lie in thinned, "):
        check_target("x", target)


@pytest.mark.parametrize("target", [3, None, "thinned.a b", "", "thinned;os", ["thinned"]])
def test_what_is_no_name_is_refused(target):
    with pytest.raises(ConfigError, match="to be a dotted name"):
        check_target("x", target)


def test_allow_targets_extends_the_list():
    assert check_target("x", "my_package.Net", ["my_package"]) == "my_package.Net"
    check_object(
        "x", "numpy.array", type("Net", (), {"__module__": "my_package.nets"}), ["my_package"]
    )


@pytest.mark.parametrize("found", [Linear, pl.Trainer, torch.optim.AdamW, torch.nn.ReLU])
def test_objects_of_listed_packages_pass(found):
    check_object("x", "thinned.x", found)


@pytest.mark.parametrize("found", [os.system, pickle.loads, torch.load, os, 3, "text"])
def test_objects_of_others_are_refused_whatever_the_name(found):
    with pytest.raises(ConfigError, match=r"`x._target_` to lie in"):
        check_object("x", "thinned.app.alias", found)
