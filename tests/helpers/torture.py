"""Kills trainings at random moments, resumes them, and compares them with one that nobody killed.

python torture.py [--count N] [--seed S] [--mode MODE ...]
"""

import argparse
import hashlib
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers import tiny
from thinned import set_verbosity
from thinned.callbacks import (
    AdaptiveDropout,
    DropoutScheduler,
    LayerInsert,
    LayerSwap,
    OverfittingMonitor,
    RandomState,
    RunRecord,
    ScaleRates,
)
from thinned.schedules import Cosine, Linear

# Eight batches an epoch. From inside an epoch checkpoints are written every 5 batches, so never by
# an epoch's last one: there Lightning skips the validation, which RandomState warns of.
MODES = {
    "epoch": {"save": {}},
    "epoch, accumulation": {"save": {}, "accumulate_grad_batches": 3},
    "validation": {"save": {"save_on_train_epoch_end": False, "monitor": "val_loss"}},
    "inside, stateful loader": {"save": {"every_n_train_steps": 5}, "loader": StatefulDataLoader},
}
MOMENTS = ("time", "train", "validation", "probe", "save", "epoch end")
EPOCHS = 4


class Killer(pl.Callback):
    """Ends the process by kill -9 at the n-th of some moments."""

    left = 0  # of the class, since the monitor gives the probe a copy of what the module holds

    def __init__(self, moment, count):
        self.moment, Killer.left = moment, count

    def hit(self, moment):
        if moment == self.moment:
            Killer.left -= 1
            if Killer.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_end(self, *_):
        self.hit("train")

    def on_validation_batch_end(self, *_):
        self.hit("validation")

    def on_train_epoch_end(self, *_):
        self.hit("epoch end")

    def on_save_checkpoint(self, *_):
        self.hit("save")


class Probed(tiny.TinyModule):
    """Tells the killer of each step of the probe, which runs in a loop of its own."""

    def __init__(self, killer):
        super().__init__()
        self.killer = killer

    def validation_step(self, batch, batch_idx):
        super().validation_step(batch, batch_idx)
        if type(self.trainer.fit_loop.epoch_loop.val_loop).__name__ != "_EvaluationLoop":
            self.killer.hit("probe")


class Rates(pl.Callback):
    """Writes the rates of each batch beside the run, by its number."""

    def __init__(self, path):
        self.path = path

    def on_train_batch_end(self, trainer, *_):
        done = trainer.fit_loop.epoch_loop.batch_progress.total.completed
        groups = {}
        for callback in trainer.callbacks:
            if isinstance(callback, DropoutScheduler | ScaleRates | AdaptiveDropout):
                groups |= callback.rates
        with self.path.open("a") as file:
            file.write(json.dumps([done, groups]) + "\n")


def train(folder, mode, order, killer):
    """Train, from the last checkpoint if there is one, and write what came of it."""
    options = dict(MODES[mode])
    loader, save = options.pop("loader", DataLoader), options.pop("save")
    torch.manual_seed(random.SystemRandom().randrange(2**31) if last(folder) else 0)
    module = Probed(killer)
    monitor = OverfittingMonitor("val_loss", probe=0.25)
    adaptive = AdaptiveDropout("val_loss", "net.5", highest=0.6)
    callbacks = [
        RandomState(),
        LayerSwap({"Linear": "dropconnect"}, include="net.0", rate=0.1),
        LayerInsert("dropout", 0.1, after="ReLU"),
        DropoutScheduler(Linear(0.0, 0.4), include="net.0", kinds="all"),
        DropoutScheduler(Cosine(0.5, 0.1), exclude=["net.0", "net.2", "net.5"]),
        ScaleRates(Linear(1.0, 0.2), "net.2"),
        adaptive,
        monitor,
        RunRecord(folder / "record", page=False),
        Rates(folder / "rates.jsonl"),
        tiny.saver(folder / "saved", filename="{epoch}-{step}", **save),
    ]
    random.Random(order).shuffle(callbacks)
    train_data = loader(tiny.dataset(64), batch_size=8, shuffle=True)
    path = last(folder)
    tiny.fit(
        [*callbacks, killer],
        module=module,
        train=train_data,
        max_epochs=EPOCHS,
        ckpt_path=path,
        **options,
    )
    sha = hashlib.sha256()
    for value in module.state_dict().values():
        sha.update(value.numpy().tobytes())
    found = {
        "weights": sha.hexdigest(),
        "history": monitor.history,
        "decisions": adaptive.history,
        "replay": repr(adaptive.as_schedule()),
        "verdict": repr(monitor.verdict),
    }
    (folder / "found.json").write_text(json.dumps(found))


def last(folder):
    """Return the newest checkpoint that can be read."""
    paths = sorted((folder / "saved").glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    for path in reversed(paths):
        try:
            torch.load(path, weights_only=True)
        except Exception:  # half written
            continue
        return path
    return None


def run(folder, mode, order, killer, seconds=None):
    """Run in a process of its own, killed after some seconds if not by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child == 0:
        try:
            train(folder, mode, order, killer)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)  # a child that has ended is still there to be waited for
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def read(folder):
    """Return all that must be equal."""
    found = json.loads((folder / "found.json").read_text())
    rates = dict(json.loads(line) for line in (folder / "rates.jsonl").read_text().splitlines())
    lines = (folder / "record" / "record.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["type"] == "metrics"]
    metrics = [(row["step"], row["epoch"], row["values"]) for row in rows]
    return {**found, "rates": rates, "record": metrics}


def differences(folder, whole, rng, mode):
    """Kill and resume one training; return what differs, and how it was killed."""
    kills = []
    while not kills or (len(kills) < 5 and rng.random() < 0.3):
        moment = rng.choice(MOMENTS)
        count = rng.randrange({"train": 30, "save": 4, "epoch end": 4}.get(moment, 7))
        seconds = rng.uniform(0.0, whole["seconds"]) if moment == "time" else None
        code = run(folder, mode, rng.random(), Killer(moment, count), seconds)
        if code == -signal.SIGKILL:
            kills.append(moment)
        elif code != 0:
            return [f"exit code {code}"], kills
        elif kills:
            break
        else:  # it ended before its moment came: that is no trial
            shutil.rmtree(folder)
    if not (folder / "found.json").exists():
        code = run(folder, mode, rng.random(), Killer("never", 0))
        if code != 0:
            return [f"exit code {code} when resumed"], kills
    found = read(folder)
    return [key for key in found if found[key] != whole[key]], kills


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mode", choices=MODES, action="append")
    options = parser.parse_args()
    torch.set_num_threads(1)
    set_verbosity("quiet")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    rng = random.Random(options.seed)
    modes = options.mode or list(MODES)
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        wholes = {}
        for mode in modes:
            folder = Path(temporary) / mode
            began = time.monotonic()
            if run(folder, mode, 0, Killer("never", 0)) != 0:
                sys.exit("the training that nobody kills failed")
            wholes[mode] = {**read(folder), "seconds": time.monotonic() - began}
        for trial in range(options.count):
            mode = modes[trial % len(modes)]
            folder = Path(temporary) / f"trial-{trial}"
            different, kills = differences(folder, wholes[mode], rng, mode)
            failed += bool(different)
            outcome = f"DIFFERENT: {', '.join(different)}" if different else "equal"
            print(f"{trial + 1:3} {mode}: killed at {', '.join(kills)}: {outcome}", flush=True)
            shutil.rmtree(folder)
    print(f"{options.count - failed} of {options.count} equal, seed {options.seed}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
