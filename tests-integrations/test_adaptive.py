"""AdaptiveDropout reads the temperature off models that nobody here wrote, or runs them again."""

import math
import warnings

import pytest
import pytorch_lightning as pl
import timm
import torch
import transformers
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from thinned.callbacks import AdaptiveDropout
from thinned.callbacks._adaptive import scaled_outputs
from thinned.callbacks._adaptive.label_sums import ClassSums

VOCABULARY = 40
TEXT = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 16,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}


def bert():
    config = transformers.BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=4,
        **TEXT,
    )
    return transformers.BertForSequenceClassification(config)


def gpt2():
    config = transformers.GPT2Config(n_embd=16, n_layer=1, n_head=2, **TEXT)
    return transformers.GPT2LMHeadModel(config)


class HuggingFace(pl.LightningModule):
    """The loss is computed inside."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def training_step(self, batch, batch_idx):
        return self.model(**batch).loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.model(**batch).loss)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class Timm(HuggingFace):
    def training_step(self, batch, batch_idx):
        return cross_entropy(self.model(batch["x"]), batch["labels"])

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.training_step(batch, batch_idx))


def texts(count, labels, seed):
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randint(1, VOCABULARY, (count, 8), generator=draw)
    return [
        {"input_ids": row, "labels": row if labels is None else row[0] % labels} for row in rows
    ]


def images(count, seed):
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, 3, 32, 32, generator=draw)
    return [{"x": row, "labels": (row.mean() > 0).long()} for row in rows]


def fit(module, make):
    adaptive = AdaptiveDropout("val_loss", kinds="all")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=4,
        callbacks=[adaptive],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of workers, and of how many validations there are
        trainer.fit(module, DataLoader(make(0), batch_size=8), DataLoader(make(1), batch_size=8))
    return [row["log_temperature"] for row in adaptive.history]


@pytest.fixture
def again(monkeypatch):
    calls, evaluate = [], scaled_outputs.evaluate
    monkeypatch.setattr(
        scaled_outputs, "evaluate", lambda *a, **k: calls.append(1) or evaluate(*a, **k)
    )
    return calls


def by_hand(module, batches, forward):
    sums = ClassSums(1)
    with torch.no_grad():
        for batch in DataLoader(batches, batch_size=8):
            sums.add(forward(module.eval(), batch), batch["labels"])
    return sums.log_temperature(sums.state())


def test_a_classifier_of_transformers(again):
    module = HuggingFace(bert())
    found = fit(module, lambda seed: texts(24, 4, seed))
    expected = by_hand(module, texts(24, 4, 1), lambda m, batch: m.model(**batch).logits)
    assert found[-1] == pytest.approx(expected, rel=1e-4)
    assert not again


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
def test_a_classifier_of_timm(name, again):
    options = {"img_size": 32, "drop_rate": 0.1} if "vit" in name else {"drop_rate": 0.1}
    module = Timm(timm.create_model(name, num_classes=2, **options))
    found = fit(module, lambda seed: images(16, seed))
    expected = by_hand(module, images(16, 1), lambda m, batch: m.model(batch["x"]))
    assert found[-1] == pytest.approx(expected, rel=1e-4)
    assert not again


def test_a_language_model_shifts_its_labels(again):
    module = HuggingFace(gpt2())
    found = fit(module, lambda seed: texts(16, None, seed))
    logits = [module.eval().model(**b).logits for b in DataLoader(texts(16, None, 1), batch_size=8)]
    labels = torch.stack([text["labels"] for text in texts(16, None, 1)])
    sums = ClassSums(1)
    sums.add(torch.cat(logits)[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    assert found[-1] == pytest.approx(sums.log_temperature(sums.state()), rel=1e-4)
    assert not again


def test_smoothed_labels_are_run_again(again):
    class Smoothed(Timm):
        def validation_step(self, batch, batch_idx):
            output = self.model(batch["x"])
            self.log("val_loss", cross_entropy(output, batch["labels"], label_smoothing=0.2))

    module = Smoothed(timm.create_model("resnet10t", num_classes=2, drop_rate=0.1))
    found = fit(module, lambda seed: images(16, seed))
    assert all(map(math.isfinite, found))
    assert len(again) == 2 * len(found)
