"""A Hydra application of one's own, with the groups of thinned in its defaults.

    python main.py
    python main.py thinned/schedule@schedule=linear schedule.end=0.3 width=256
    python main.py -m schedule.end=0,0.3,0.6
    python main.py --cfg job

Nothing is registered here: thinned's plugin puts its groups on Hydra's search path.
"""

import hydra
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from torch import nn

from thinned.app.data import SklearnData
from thinned.app.models import Task


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    pl.seed_everything(cfg.seed, verbose=False)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(64, cfg.width), nn.ReLU(), nn.Dropout(), nn.Linear(cfg.width, 10)
    )
    model = Task(net, lambda parameters: torch.optim.AdamW(parameters, lr=cfg.lr))

    callbacks = {name: instantiate(node) for name, node in cfg.callbacks.items()}
    trainer = pl.Trainer(
        max_epochs=cfg.epochs, callbacks=list(callbacks.values()), logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, SklearnData("digits", train_size=200, val_size=500))

    print("schedule:", cfg.schedule)
    print(callbacks["monitor"].summary())
    return trainer.callback_metrics["val_loss"].item()  # what a sweeper of Hydra minimizes


if __name__ == "__main__":
    main()
