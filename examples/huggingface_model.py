"""A Hugging Face model in Lightning: which of its rates are live, and a schedule for each part.

An example input shows which rates really reach a random call. The attention keeps its own
constant rate, everything else follows a curriculum. The task is made up: do small numbers
outnumber the large ones?
"""

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset
from transformers import BertConfig, BertForSequenceClassification

import thinned
from thinned.callbacks import DropoutScheduler, OverfittingMonitor
from thinned.schedules import Curriculum


class Classifier(pl.LightningModule):
    def __init__(self):
        super().__init__()
        config = BertConfig(
            vocab_size=20, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=64, max_position_embeddings=16,
        )  # fmt: skip
        self.bert = BertForSequenceClassification(config)

    def training_step(self, batch):
        words, labels = batch
        return self.bert(input_ids=words, labels=labels).loss

    def validation_step(self, batch):
        self.log("val_loss", self.training_step(batch))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def sentences(count):
    words = torch.randint(20, (count, 8))
    return TensorDataset(words, ((words < 10).sum(dim=1) > 4).long())


def main(epochs=8):
    pl.seed_everything(0, verbose=False)
    model = Classifier()
    print(thinned.find_sites(model.bert, example_input={"input_ids": torch.randint(20, (2, 8))}))

    schedule = DropoutScheduler({"*attention*": 0.1, "rest=*": Curriculum(0.3)})
    monitor = OverfittingMonitor("val_loss")
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=[schedule, monitor], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, DataLoader(sentences(256), 32), DataLoader(sentences(256), 256))
    print(schedule.rates, monitor.summary(), sep="\n")


if __name__ == "__main__":
    main()
