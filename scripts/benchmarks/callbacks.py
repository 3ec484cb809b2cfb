"""What the callbacks cost: time at each step, time of the probe, memory over many steps.

bash scripts/bench callbacks                      all tables
bash scripts/bench callbacks --table memory       one of them
"""

import argparse
import gc
import logging
import resource
import statistics
import time
import warnings

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from thinned import layers, set_verbosity
from thinned.callbacks import (
    AdaptiveDropout,
    DropoutScheduler,
    LayerInsert,
    OverfittingMonitor,
    RandomState,
)
from thinned.schedules import Linear

STEP = 5e-3  # seconds: the small step of which the scheduler may take 1%


# Hooks have the arguments that Lightning hands them.
# ruff: noqa: ARG002


class Classifier(pl.LightningModule):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Stopwatch(DropoutScheduler):
    """Times its own hook, which is all that the scheduler does at a step."""

    seconds: list[float]

    def on_train_batch_start(self, *args):
        start = time.thread_time()  # of this thread alone, on a machine that others use too
        super().on_train_batch_start(*args)
        self.seconds.append(time.thread_time() - start)


def trainer(callbacks, **options):
    quiet = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    return pl.Trainer(callbacks=callbacks, **{**quiet, **options})


def data(size, *shape, classes=10):
    torch.manual_seed(0)
    return TensorDataset(torch.randn(size, *shape), torch.randint(classes, (size,)))


def net_of(make, sites=200):
    return nn.Sequential(nn.Linear(8, 10), *(make() for _ in range(sites)))


def scheduler(rounds):
    """The scheduler's hook, a new rate at each step, 200 sites, as a share of a 5 ms step."""
    kinds = {
        "nn.Dropout": (lambda: net_of(lambda: nn.Dropout(0.1)), {}, []),
        "thinned.layers.Dropout": (lambda: net_of(lambda: layers.Dropout(0.1)), {}, []),
        "inserted by hooks": (
            lambda: net_of(nn.Identity),
            {},
            [LayerInsert("dropout", after=nn.Identity)],
        ),
        "nn.Dropout, linear_depth": (
            lambda: net_of(lambda: nn.Dropout(0.1)),
            {"profile": "linear_depth"},
            [],
        ),
        "thinned.layers.Dropout, linear_depth": (
            lambda: net_of(lambda: layers.Dropout(0.1)),
            {"profile": "linear_depth"},
            [],
        ),
        "thinned.layers.Dropout, logged at each step": (
            lambda: net_of(lambda: layers.Dropout(0.1)),
            {},
            [],
        ),
        "one site": (lambda: net_of(lambda: nn.Dropout(0.1), 1), {}, []),
    }
    print("\n| 200 sites | us a step, median | 10% to 90% | of a 5 ms step | must be | reached |")
    print("|---|---|---|---|---|---|")
    for name, (make, options, others) in kinds.items():
        every = 1 if "logged" in name else 50  # Lightning's own number
        stopwatch = Stopwatch(Linear(0.0, 0.5), **options)
        stopwatch.seconds = []
        loader = DataLoader(data(8, 8), batch_size=1)
        trainer(
            [*others, stopwatch], max_steps=rounds, limit_val_batches=0, log_every_n_steps=every
        ).fit(Classifier(make()), loader)
        median = statistics.median(stopwatch.seconds)
        tenths = statistics.quantiles(stopwatch.seconds, n=10)
        spread = f"{tenths[0] * 1e6:.0f} to {tenths[-1] * 1e6:.0f}"
        reached = "yes" if median < 0.01 * STEP else "NO"
        share = f"{median / STEP:.2%} | < 1% | {reached}"
        print(f"| {name} | {median * 1e6:.0f} | {spread} | {share} |", flush=True)


def monitor(rounds):
    """Whole fits with and without a callback, alternating; each epoch validated on 1000 samples."""
    train, val = data(4000, 3, 32, 32), data(1000, 3, 32, 32)

    def fit(callbacks):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 32, 3, stride=2),
            nn.ReLU(),
            nn.Dropout2d(0.1),
            nn.Conv2d(32, 64, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.LazyLinear(10),
        )
        net(train[0][0][None])
        made = trainer(callbacks, max_epochs=4)
        start = time.process_time()
        made.fit(Classifier(net), DataLoader(train, 64, shuffle=True), DataLoader(val, 64))
        return time.process_time() - start

    variants = {
        "monitor, 10% probe, without inflation": (
            lambda: OverfittingMonitor("val_loss", probe=0.1, noise=False),
            1.05,
        ),
        "monitor, 10% probe": (lambda: OverfittingMonitor("val_loss", probe=0.1), 1.05),
        "AdaptiveDropout": (lambda: AdaptiveDropout("val_loss"), 1.3),
    }
    print("\n| each epoch validated | time with / without, median | spread | must be | reached |")
    print("|---|---|---|---|---|")
    for name, (make, most) in variants.items():
        fit([])
        ratios = []
        for _ in range(rounds):
            without, with_it = fit([]), fit([make()])
            ratios.append(with_it / without)
        median = statistics.median(ratios)
        reached = "yes" if median <= most else "NO"
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        print(f"| {name} | {median:.3f} | {spread} | <= {most} | {reached} |", flush=True)


class Memory(pl.Callback):
    """Notes the process's memory every so many steps."""

    def __init__(self, every):
        self.every = every
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step % self.every == 0:
            gc.collect()
            self.seen.append((trainer.global_step, resident()))


def resident():
    """Return this process's resident memory in MiB."""
    with open("/proc/self/statm") as file:  # noqa: PTH123  # it is no path of the project's
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def memory(rounds):
    """Memory over many steps with a rate a step and a validation every 1000 of them."""
    print(
        "\n| callbacks | steps | MiB at a tenth | MiB at the end | growth |\n|---|---|---|---|---|"
    )
    for name, make in {
        "none": list,
        "RandomState, DropoutScheduler": lambda: [
            RandomState(),
            DropoutScheduler(Linear(0.0, 0.5)),
        ],
    }.items():
        watch = Memory(rounds // 10)
        loader = DataLoader(data(1000, 8), batch_size=1)
        trainer([*make(), watch], max_steps=rounds).fit(
            Classifier(net_of(lambda: nn.Dropout(0.1), 4)),
            loader,
            DataLoader(data(4, 8), batch_size=4),
        )
        (_, first), (steps, last) = watch.seen[0], watch.seen[-1]
        print(
            f"| {name} | {steps} | {first:.1f} | {last:.1f} | {last - first:+.1f} MiB |", flush=True
        )


TABLES = {"scheduler": (scheduler, 3000), "monitor": (monitor, 5), "memory": (memory, 100_000)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", choices=TABLES, action="append")
    parser.add_argument("--rounds", type=int, help="instead of each table's own number")
    options = parser.parse_args()
    torch.set_num_threads(1)
    set_verbosity("quiet")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    for name in options.table or TABLES:
        run, rounds = TABLES[name]
        run(options.rounds or rounds)


if __name__ == "__main__":
    main()
