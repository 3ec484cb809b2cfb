"""Models from torchvision: ConvNeXt brings stochastic depth of its own, ResNet gets it.

In ConvNeXt the rates are there to be set. ResNet has no dropout at all; its residual blocks are
found by running it on an example.
"""

import functools

import pytorch_lightning as pl
import torch
from torchvision import models

import thinned
from thinned.app.data import SklearnData
from thinned.app.models import Task
from thinned.callbacks import DropoutScheduler
from thinned.schedules import Linear


def set_what_is_there():
    net = models.convnext_tiny(num_classes=10, stochastic_depth_prob=0.1)
    scaled = thinned.scale_rates(net, 2.0, kinds="drop_path")
    rates = thinned.find_sites(net, kinds="drop_path").rates
    print(f"ConvNeXt: {scaled} rates doubled, up to {max(rates.values()):.2f}")


def insert_what_is_not(epochs):
    pl.seed_everything(0, verbose=False)
    net = models.ResNet(models.resnet.BasicBlock, [2, 2, 1, 1], num_classes=10)
    # Digits are small and grey: no big first stride, one channel.
    net.conv1, net.maxpool = torch.nn.Conv2d(1, 64, 3, padding=1, bias=False), torch.nn.Identity()
    print(thinned.insert(net, "stochastic_depth", 0.2, example_input=torch.rand(2, 1, 8, 8)))

    schedule = DropoutScheduler(Linear(0.0, 0.2), kinds="drop_path")
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=[schedule], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    model = Task(net, functools.partial(torch.optim.AdamW, lr=1e-3))
    trainer.fit(model, SklearnData("digits", train_size=200, val_size=200, batch_size=50))
    print(f"rates at the end: {schedule.groups['all'].rates}")
    print(f"accuracy on validation: {trainer.callback_metrics['val_acc']:.1%}")


def main(epochs=3):
    set_what_is_there()
    insert_what_is_not(epochs)


if __name__ == "__main__":
    main()
