"""Skip whole blocks, the deep ones more often: a transformer on patches of digits.

Nothing in the model is prepared for it. The residual blocks are found by running the model on an
example; stochastic depth (Huang 2016) is put on each, and the linear rule gives block l of L the
rate p * l / L. `thinned.insert` does by hand what the callback `LayerInsert` does when fit begins.
"""

import functools

import pytorch_lightning as pl
import torch
from torch import nn

import thinned
from thinned.app.data import SklearnData
from thinned.app.models import Task
from thinned.callbacks import DropoutScheduler
from thinned.schedules import Linear


class Patches(nn.Module):
    """Sixteen patches of 2 x 2 pixels, four encoder layers, the mean over the patches."""

    def __init__(self, width=32):
        super().__init__()
        self.embed = nn.Linear(4, width)
        self.position = nn.Parameter(0.02 * torch.randn(16, width))
        layer = nn.TransformerEncoderLayer(width, 4, 64, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        tokens = nn.functional.unfold(x, 2, stride=2).transpose(1, 2)
        return self.head(self.encoder(self.embed(tokens) + self.position).mean(dim=1))


def main(epochs=12):
    pl.seed_everything(0, verbose=False)
    model = Task(Patches(), functools.partial(torch.optim.AdamW, lr=3e-3))
    keys = list(model.state_dict())
    print(thinned.insert(model, "stochastic_depth", 0.2, example_input=torch.randn(2, 1, 8, 8)))
    print("keys of the checkpoint unchanged:", list(model.state_dict()) == keys)

    depth = DropoutScheduler(Linear(0.0, 0.2), kinds="drop_path", profile="linear_depth")
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=[depth], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, SklearnData("digits", train_size=300, val_size=500, batch_size=50))

    print(thinned.find_sites(model, kinds="drop_path"))
    print(f"accuracy on validation: {trainer.callback_metrics['val_acc']:.1%}")


if __name__ == "__main__":
    main()
