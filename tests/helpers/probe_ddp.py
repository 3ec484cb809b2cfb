"""Trains with the monitor on two processes, and writes what every process saw. Run as a script."""

import json
import sys
import warnings
from pathlib import Path

import torch
import torchmetrics
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parent.parent))
from helpers import probing
from helpers.leaving import leave
from thinned.callbacks import OverfittingMonitor

PL = probing.lightning()


class Model(probing.module_class(PL)):
    """Logs in the three ways that differ between processes."""

    def __init__(self):
        super().__init__()
        self.acc = torchmetrics.Accuracy(task="multiclass", num_classes=3)

    def validation_step(self, batch, batch_idx):
        out = self.net(batch[0])
        loss = torch.nn.functional.cross_entropy(out, batch[1])
        self.acc(out, batch[1])
        self.log("val_loss", loss, sync_dist=True)
        self.log("local", loss)
        self.log("total", loss * len(batch[1]), reduce_fx="sum")
        self.log("only_first", loss, rank_zero_only=True)
        self.log("val_acc", self.acc)


def main(folder: Path, samples: int) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    monitor = OverfittingMonitor("val_loss", probe=samples, noise=True, units="net.3")
    result = {}
    for name, callbacks in (("with", [monitor]), ("without", [])):
        model = probing.build(Model)
        trainer = PL.Trainer(
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            accelerator="cpu",
            devices=2,
            strategy="ddp",
            max_epochs=2,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(model, probing.train_loader(probing.data(90)), probing.val_loader())
        result[name] = [t.double().sum().item() for t in model.state_dict().values()]
        if callbacks and trainer.global_rank == 0:
            torch.save(model.state_dict(), folder / "weights.pt")
    every = [None, None]
    torch.distributed.all_gather_object(every, monitor._probe._indices)
    result |= {"history": monitor.history, "chosen": every, "rank": trainer.global_rank}
    (folder / f"{trainer.global_rank}.json").write_text(json.dumps(result))


def truth(weights, chosen):
    """What a single process finds with these weights on these samples."""
    model = probing.build(Model)
    model.load_state_dict(weights)
    trainer = PL.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False
    )
    subset = torch.utils.data.Subset(probing.data(90), chosen)
    return trainer.validate(model, DataLoader(subset, 16), verbose=False)[0]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
    leave()
