"""`swap` on models that nobody here wrote."""

import copy

import pytest
import torch
import zoo
from insert_census import evaluate, same, train_step

import thinned


def built(name):
    torch.manual_seed(0)
    return zoo.builders(0.1)[name]()


@pytest.mark.parametrize(
    ("name", "mapping", "options"),
    [
        ("timm/vit_tiny_patch16_224", {"DropPath": "drop_path"}, {}),
        ("timm/efficientnet_b0", {"DropPath": "drop_path"}, {}),
        ("torchvision/swin_t", {"StochasticDepth": "drop_path"}, {}),
        ("torchvision/vgg11", {"Linear": "dropconnect"}, {"rate": 0.1}),
        ("transformers/bert", {"Dropout": "dropout", "Linear": "dropconnect"}, {"rate": 0.1}),
        ("transformers/convnext", {"ConvNextDropPath": "drop_path"}, {}),
        ("transformers/gpt2", {"Dropout": "dropout"}, {}),
    ],
)
@pytest.mark.filterwarnings("ignore")  # what the libraries say about their own settings
def test_swap_trains_and_comes_off(name, mapping, options):
    model, given = built(name)
    plain = copy.deepcopy(model)
    modules = [(path, id(module)) for path, module in model.named_modules()]
    before = evaluate(model, given)
    edit = thinned.swap(model, mapping, **options)
    assert len(edit) >= 1
    assert list(model.state_dict()) == list(plain.state_dict())
    assert all(a is b for a, b in zip(model.parameters(), model.parameters(), strict=True))
    assert same(evaluate(model, given), before)
    train_step(model, given)
    train_step(model, given, bfloat16=True)
    plain.load_state_dict(model.state_dict())
    edit.undo()
    assert [(path, id(module)) for path, module in model.named_modules()] == modules
    assert same(evaluate(model, given), evaluate(plain, given))


def test_attention_dropout_of_timm_is_refused():
    model, _ = built("timm/vit_tiny_patch16_224")
    with pytest.raises(ValueError, match=r"attn_drop: Attention reads its rate"):
        thinned.swap(model, {"Dropout": "spatial"})
    edit = thinned.swap(model, {"Dropout": "spatial"}, "blocks.*.proj_drop")
    assert len(edit) == 12
