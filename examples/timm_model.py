"""A model from timm: give its drop paths a schedule, although it was built without any.

timm builds `nn.Identity` where the rate is 0. `LayerInsert("auto")` fills these places, by the
linear rule that timm itself uses. With `drop_path_rate=0.1` there would be sites to set instead.
"""

import functools

import pytorch_lightning as pl
import timm
import torch

import thinned
from thinned.app.data import SklearnData
from thinned.app.models import Task
from thinned.callbacks import DropoutScheduler, LayerInsert
from thinned.schedules import Linear


def main(epochs=10):
    pl.seed_everything(0, verbose=False)
    net = timm.create_model(
        "vit_tiny_patch16_224", pretrained=False, num_classes=10, in_chans=1,
        img_size=8, patch_size=2, embed_dim=48, depth=3,
    )  # fmt: skip
    model = Task(net, functools.partial(torch.optim.AdamW, lr=1e-3))
    print(thinned.find_sites(model))

    insert = LayerInsert("auto", 0.2, example_input=torch.rand(2, 1, 8, 8), keep=True)
    schedule = DropoutScheduler(Linear(0.0, 0.2), kinds="drop_path", profile="linear_depth")
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=[insert, schedule], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, SklearnData("digits", train_size=300, val_size=300))
    print(thinned.find_sites(model, kinds="drop_path"))
    print(f"accuracy on validation: {trainer.callback_metrics['val_acc']:.1%}")


if __name__ == "__main__":
    main()
