"""Tests on two processes with many masks, as a script: python mc_ddp.py FOLDER."""

import json
import logging
import sys
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers import tiny
from helpers.leaving import leave
from thinned.callbacks import MCDropout, RunRecord


class Tested(tiny.TinyModule):
    """Tests by its forward."""

    def test_step(self, batch, batch_idx):
        self(batch[0])


def twins():
    """Return rows of which each comes twice: once for each rank."""
    x, y = tiny.dataset(10).tensors
    return torch.utils.data.TensorDataset(x.repeat_interleave(2, 0), y.repeat_interleave(2))


def main(folder):
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    sure = MCDropout(samples=8, stages="test", masks="pass", keep_samples=True)
    record = RunRecord(folder / "run", page=False, summary=False)
    trainer = tiny.fit(
        [sure, record],
        module=Tested(),
        train=tiny.loader(16),
        devices=2,
        strategy="ddp",
        default_root_dir=folder,
    )
    torch.manual_seed(100 + trainer.global_rank)  # other streams on each rank
    data = torch.utils.data.DataLoader(twins(), batch_size=4)
    trainer.test(trainer.lightning_module, data, verbose=False)
    found = {
        "calibration": sure.calibration,
        "samples": torch.cat([each.samples for each in sure.predictions], 1).tolist(),
    }
    (folder / f"{trainer.global_rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    leave()
