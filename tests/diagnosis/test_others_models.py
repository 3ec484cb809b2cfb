"""No false alarm on models of torch's own."""

import pytest
import torch
from torch import nn

import thinned
from helpers.diagnosing import found

SEQUENCE = torch.randn(4, 7, 32)


def encoder(**options):
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True, **options)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


MODELS = {
    "encoder, post-norm": (encoder(), SEQUENCE),
    "encoder, pre-norm": (encoder(norm_first=True), SEQUENCE),
    "transformer": (
        nn.Transformer(32, 4, 2, 2, 64, batch_first=True), (SEQUENCE, torch.randn(4, 5, 32))
    ),
    "attention": (
        nn.MultiheadAttention(32, 4, dropout=0.1, batch_first=True),
        (SEQUENCE, SEQUENCE, SEQUENCE),
    ),
    "lstm": (nn.LSTM(32, 32, 2, dropout=0.3, batch_first=True), SEQUENCE),
    "classifier": (
        nn.Sequential(encoder(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(224, 3)), SEQUENCE
    ),
    "convolutions": (
        nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout2d(0.1), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3),
            nn.Linear(32, 10),
        ),
        torch.randn(4, 3, 16, 16),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_models_as_they_are_meant_have_no_findings(name, mode):
    model, example = MODELS[name]
    assert found(model.train(mode), example) == {}


@pytest.mark.parametrize("name", MODELS)
def test_without_an_input_there_is_only_the_note(name):
    assert set(found(MODELS[name][0])) == {"not-checked"}


@pytest.mark.parametrize("variant", ["auto", "dropout"])
def test_what_insert_puts_in_is_right_by_its_own_rules(variant):
    net = nn.Sequential(
        nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
        nn.Linear(64, 3),
    )  # fmt: skip
    x = torch.randn(64, 16)
    edit = thinned.insert(net, variant, 0.2, include="*" if variant == "auto" else ["4"])
    assert len(edit) >= 1
    assert found(net, x) == {}


def test_our_layers_are_seen_as_what_they_are():
    from thinned.layers import SpatialDropout

    rules = found(
        nn.Sequential(
            nn.Conv2d(3, 8, 3), SpatialDropout(0.3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1)
        ),
        torch.randn(8, 3, 8, 8),
    )
    assert "dropout-before-batch-norm" in rules
    assert "elementwise-on-feature-map" not in rules
