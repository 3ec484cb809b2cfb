"""LightningCLI instead of Hydra: callbacks and schedules by `class_path` and `init_args`.

    python lightning_cli.py fit --trainer.max_epochs 5
    python lightning_cli.py fit --config my.yaml

Without arguments it writes the configuration below to `lightning_cli.yaml` and trains with it.
LightningCLI needs `pip install "jsonargparse[signatures]"`.
"""

import sys
from pathlib import Path

import torch
from pytorch_lightning.cli import LightningCLI
from torch import nn

from thinned.app.data import SklearnData
from thinned.app.models import Task
from thinned.callbacks import OverfittingMonitor

CONFIG = """
seed_everything: 0
trainer:
  max_epochs: 15
  logger: false
  enable_checkpointing: false
  enable_progress_bar: false
  enable_model_summary: false
  callbacks:
    - class_path: thinned.callbacks.DropoutScheduler
      init_args:
        schedule:
          class_path: thinned.schedules.Cosine
          init_args: {start: 0.0, end: 0.5}
    - class_path: thinned.callbacks.OverfittingMonitor
      init_args: {monitor: val_loss, probe: 0.5}
data: {name: wine, train_size: 30, val_size: 100}
"""


class Wine(Task):
    def __init__(self, width: int = 64, lr: float = 1e-2):
        net = nn.Sequential(nn.Linear(13, width), nn.ReLU(), nn.Dropout(), nn.Linear(width, 3))
        super().__init__(net, lambda parameters: torch.optim.AdamW(parameters, lr=lr))


def main():
    if len(sys.argv) == 1:
        Path("lightning_cli.yaml").write_text(CONFIG)
        sys.argv += ["fit", "--config", "lightning_cli.yaml"]
    cli = LightningCLI(Wine, SklearnData, save_config_callback=None)
    for callback in cli.trainer.callbacks:
        if isinstance(callback, OverfittingMonitor):
            print(callback.summary())


if __name__ == "__main__":
    main()
