"""The diagnosis on models that nobody here wrote: what it says of each is what an expert would."""

import pytest
import timm
import torch
import transformers
from torch import nn
from torchvision import models

from thinned.diagnosis import diagnose

IMAGES = torch.randn(2, 3, 64, 64)
TOKENS = {"input_ids": torch.arange(2, 20).view(2, 9)}
SMALL = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def found(model, example):
    """Rule and path of all findings worse than a note, and nothing left unchecked."""
    findings = diagnose(model.train(), example)
    for finding in findings:
        assert finding.rule != "not-checked", finding
        assert "could not be checked" not in finding.message, finding
    return {(f.rule, f.path) for f in findings if f.severity != "note"}


AS_SHIPPED = {
    "torchvision/alexnet": lambda: (models.alexnet(), IMAGES),
    "torchvision/vgg11_bn": lambda: (models.vgg11_bn(), IMAGES),
    "torchvision/mobilenet_v3_small": lambda: (models.mobilenet_v3_small(), IMAGES),
    "torchvision/efficientnet_b0": lambda: (models.efficientnet_b0(), IMAGES),
    "torchvision/densenet121": lambda: (models.densenet121(), IMAGES),
    "torchvision/swin_t": lambda: (models.swin_t(), IMAGES),
    "torchvision/convnext_tiny": lambda: (models.convnext_tiny(), IMAGES),
    "timm/resnet18": lambda: (timm.create_model("resnet18", drop_rate=0.2), IMAGES),
    "timm/efficientnet_b0": lambda: (
        timm.create_model("efficientnet_b0", drop_rate=0.2, drop_path_rate=0.2),
        IMAGES,
    ),
    "timm/convnext_atto": lambda: (timm.create_model("convnext_atto", drop_path_rate=0.1), IMAGES),
    "timm/deit_tiny": lambda: (
        timm.create_model("deit_tiny_patch16_224", img_size=64, depth=3, drop_path_rate=0.1),
        IMAGES,
    ),
    "transformers/bert": lambda: (
        transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL)),
        TOKENS,
    ),
    "transformers/gpt2": lambda: (
        transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=99, n_embd=32, n_layer=2, n_head=4)
        ),
        TOKENS,
    ),
    "transformers/llama": lambda: (
        transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, attention_dropout=0.1)),
        TOKENS,
    ),
    "transformers/t5": lambda: (
        transformers.T5Model(
            transformers.T5Config(
                vocab_size=99, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4
            )
        ),
        {**TOKENS, "decoder_input_ids": TOKENS["input_ids"]},
    ),
}


@pytest.mark.parametrize("name", AS_SHIPPED)
def test_models_as_they_are_shipped_raise_no_alarm(name):
    assert found(*AS_SHIPPED[name]()) == set()


def test_the_unused_dropout_of_falcons_attention_is_found():
    """With fused attention, transformers gives Falcon a rate of 0, whatever is configured."""
    config = transformers.FalconConfig(
        **SMALL, attention_dropout=0.1, hidden_dropout=0.1, alibi=False
    )
    rules = found(transformers.FalconForCausalLM(config), TOKENS)
    assert ("dead-site", "transformer.h.*.self_attention.attention_dropout") in rules


def test_the_prenet_of_speecht5_drops_in_evaluation():
    """It is meant so, as in Tacotron; the finding says what to do then."""
    from transformers.models.speecht5.modeling_speecht5 import SpeechT5SpeechDecoderPrenet

    config = transformers.SpeechT5Config(hidden_size=32)
    model = SpeechT5SpeechDecoderPrenet(config)
    rules = found(model, torch.randn(2, 5, config.num_mel_bins))
    assert "alive-in-eval" in {rule for rule, _ in rules}


def test_densenets_dropout_before_batch_norm_is_measured():
    model = models.DenseNet(8, (2, 2), 16, drop_rate=0.2, num_classes=10)
    rules = found(model, IMAGES)
    assert ("dropout-before-batch-norm", "features.denseblock*.denselayer*") in rules


def test_stacked_regularizers_of_a_vision_transformer_are_found():
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, depth=3, proj_drop_rate=0.1, drop_path_rate=0.1
    )
    assert found(model, IMAGES) == {("stacked-stochastic-depth", "blocks.*.drop_path*")}


def test_a_head_of_ones_own_on_a_library_model_is_judged():
    model = timm.create_model("resnet18", num_classes=0)
    net = nn.Sequential(model, nn.Linear(512, 32), nn.Dropout(0.5))
    assert found(net, IMAGES) == {("dropout-on-output", "2")}
