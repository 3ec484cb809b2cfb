"""`insert` on models that nobody here wrote; scripts/insert-census does it with all of the zoo."""

import functools

import pytest
import torch
import zoo
from insert_census import examine

import thinned
from thinned.layers import StochasticDepth

DOZEN = {
    "torch/transformer": {"BlockDrop": 4},
    "timm/resnet18": {"BlockDrop": 5},
    "timm/efficientnet_b0": {"DropPath": 9},
    "timm/vit_tiny_patch16_224": {"DropPath": 24},
    "timm/repvgg_a0": {"DropPath": 17},
    "torchvision/vgg11": {"SpatialDropout": 8},
    "torchvision/vit_b_16": {"BlockDrop": 12},
    "transformers/bert": {"BlockDrop": 2},
    "transformers/deberta-v2": {"BlockDrop": 2},
    "transformers/gpt2": {"BlockDrop": 2},
    "transformers/t5": {"BlockDrop": 10},
    "transformers/xlnet": {"BlockDrop": 4},
    "transformers/mamba": {"BlockDrop": 2},
    "transformers/whisper": {"BlockDrop": 4},
}


@pytest.mark.filterwarnings("ignore")  # what the libraries say about their own settings
@pytest.mark.parametrize("name", DOZEN)
def test_insert_auto_trains_and_comes_off(name):
    found = examine(name, zoo.builders(0.0)[name])
    assert (found.broken, found.note) == ([], "")
    assert found.fired == found.inserted
    assert DOZEN[name].items() <= found.changes.items()


@pytest.mark.parametrize("name", ["timm/resnet18", "transformers/gpt2", "transformers/bert"])
def test_blocks_that_are_skipped(name):
    skip = functools.partial(StochasticDepth, mode="skip")
    found = examine(name, zoo.builders(0.0)[name], skip)
    assert (found.broken, found.note) == ([], "")
    assert found.fired == 0  # skipping needs no mask, and so never calls the layer


def test_without_an_example_only_what_structure_decides():
    torch.manual_seed(0)
    model, _ = zoo.builders(0.0)["timm/vit_tiny_patch16_224"]()
    edit = thinned.insert(model, rate=0.12)
    assert {site.path.rsplit(".", 1)[-1] for site in edit.sites} == {"drop_path1", "drop_path2"}
    assert len(edit) == 24
    assert "residual blocks" in edit.left_out
    edit.undo()
    model, _ = zoo.builders(0.0)["torchvision/resnet18"]()
    with pytest.raises(thinned.NoEffectError, match="example_input="):
        thinned.insert(model)
