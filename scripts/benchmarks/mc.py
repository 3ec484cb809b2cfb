"""Times mc_predict against one plain forward and against the loop, in turns, on one thread."""

import argparse
import platform
import statistics
import time

import torch
from torch import nn

from thinned.uncertainty import active_sites, mc_predict, sampling
from thinned.uncertainty._prefix import Recorder


class Encoder(nn.Module):
    """A small transformer with dropout in each of its blocks."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(16, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.1, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, 4)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.blocks(self.embed(x)).mean(1))


class Recurrent(nn.Module):
    """An LSTM with dropout after it, or between its layers."""

    def __init__(self, between):
        super().__init__()
        self.rnn = nn.LSTM(16, 64, 1 + between, batch_first=True, dropout=0.3 * between)
        self.drop = nn.Dropout(0.0 if between else 0.3)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.drop(self.rnn(x)[0][:, -1]))


def conv(place):
    """Return a conv net with one dropout layer at a place."""
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    return net.insert(place, nn.Dropout(0.3))


CASES = {
    "conv net, head": (lambda: conv(14), (32, 3, 32, 32)),
    "conv net, middle": (lambda: conv(6), (32, 3, 32, 32)),
    "conv net, start": (lambda: conv(0), (32, 3, 32, 32)),
    "transformer, each block": (Encoder, (32, 20, 16)),
    "transformer, one row": (Encoder, (1, 20, 16)),
    "LSTM, after it": (lambda: Recurrent(between=False), (32, 20, 16)),
    "LSTM, between its layers": (lambda: Recurrent(between=True), (32, 20, 16)),
}


def loop(model, x, count):
    """Draw samples as anybody would: dropout on, norms off, a forward each."""
    with torch.no_grad(), sampling(model, active_sites(model)):
        return torch.stack([model(x) for _ in range(count)])


def plain(model, x):
    """Run one deterministic forward, without the fused path of torch's transformers."""
    with torch.no_grad(), sampling(model, ()):
        return model(x)


def share(model, x):
    """Return how much of a plain forward's work comes before the first random call."""
    recorder = Recorder()
    with torch.no_grad(), sampling(model, active_sites(model)), recorder:
        model(x)
    before, after = recorder.flops
    return before / max(before + after, 1)


def seconds(function, *given):
    """Return the CPU seconds of one call."""
    start = time.thread_time()
    function(*given)
    return time.thread_time() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="triples of measurements (7)")
    parser.add_argument("--samples", type=int, default=20, help="number of samples (20)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    count = given.samples
    print(f"torch {torch.__version__}, {platform.machine()}, 1 thread, CPU time, T={count}\n")
    print(
        "| model, where dropout is | a forward, ms | loop | ours | prefix + T x suffix | ", end=""
    )
    print("ours : loop | how |\n|---|---|---|---|---|---|---|")
    for name, (make, shape) in CASES.items():
        model, x = make().eval(), torch.randn(shape)
        before = share(model, x)
        mc_predict(model, x, count)
        rows = []
        for _ in range(given.rounds):
            single = statistics.median(seconds(plain, model, x) for _ in range(3))
            rows.append(
                (single, seconds(loop, model, x, count), seconds(mc_predict, model, x, count))
            )
        one = statistics.median(row[0] for row in rows)
        slow = statistics.median(row[1] / row[0] for row in rows)
        ours = statistics.median(row[2] / row[0] for row in rows)
        against = statistics.median(row[2] / row[1] for row in rows)
        ideal = max(1.0, slow - (count - 1) * before)
        method = mc_predict(model, x, count).method
        print(
            f"| {name} | {one * 1e3:.2f} | {slow:.1f} | {ours:.2f} | {ideal:.1f} | "
            f"{against:.2f} | {method} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
