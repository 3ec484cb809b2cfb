"""The same mask at every step: a recurrent network reads digits row by row.

`nn.LSTM(dropout=...)` draws a new mask at each step and between layers only. Variational dropout
(Gal 2016) keeps one mask over the sequence, also on the recurrent connection; weight dropout
(Merity 2018) drops recurrent weights. Both take the place of the layer and share its weights.
One seed each says little about which is better; `thinned compare` is for that.

    python rnn_digits_rows.py LSTM
"""

import functools
import sys

import pytorch_lightning as pl
import torch
from torch import nn

from thinned.app.data import SklearnData
from thinned.app.models import Task
from thinned.callbacks import LayerSwap


class Rows(nn.Module):
    """Eight steps of eight pixels; the mean of the states is classified."""

    def __init__(self, cell):
        super().__init__()
        self.rnn = getattr(nn, cell)(8, 64, num_layers=2, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        states, _ = self.rnn(x.squeeze(1))
        return self.head(states.mean(dim=1))


def train(cell, callbacks, epochs):
    pl.seed_everything(0, verbose=False)
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=callbacks, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    model = Task(Rows(cell), functools.partial(torch.optim.AdamW, lr=1e-2))
    trainer.fit(model, SklearnData("digits", train_size=200, val_size=500, batch_size=50))
    return trainer.callback_metrics


def main(cell="GRU", epochs=25):
    for variant in (None, "variational", "weight_drop"):
        callbacks = [] if variant is None else [LayerSwap({cell: variant}, rate=0.2)]
        end = train(cell, callbacks, epochs)
        print(f"{cell}, {variant or 'as it is':12s} val_loss {end['val_loss']:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
