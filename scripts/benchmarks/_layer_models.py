"""The tables that need whole models: skipping blocks, recurrent layers, compiled code."""

import torch
from _layer_rows import library
from _timing import Step, enough, forward_backward, paired, ratio
from torch import Tensor, nn

from thinned import layers

RATES = (0.1, 0.3, 0.5)


class Basic(nn.Module):
    """The basic block of a ResNet."""

    def __init__(self, width: int):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.branch(x))


def skipping(rounds: int) -> None:
    """Step time (forward, backward, SGD) with stochastic depth over the plain step time."""
    print("\n| model | mode | rate | ratio | must be | reached |\n|---|---|---|---|---|---|")
    for name, block, x, scale in (
        (
            "transformer, 3 layers",
            lambda: nn.TransformerEncoderLayer(
                256, 4, 1024, 0.0, batch_first=True, norm_first=True
            ),
            torch.randn(40, 64, 256),
            True,
        ),
        ("ResNet, 3 blocks of 64", lambda: Basic(64), torch.randn(40, 64, 28, 28), False),
        ("ResNet, 3 blocks of 32", lambda: Basic(32), torch.randn(40, 32, 28, 28), False),
    ):
        blocks = [block().train() for _ in range(3)]
        steps = {"plain": training_step(nn.Sequential(*blocks), x)}
        for mode in ("skip", "mask"):
            for rate in RATES if mode == "skip" else RATES[-1:]:
                wrapped = nn.Sequential(
                    *[layers.StochasticDepth(b, rate, mode, scale_by_keep=scale) for b in blocks]
                )
                steps[f"{mode} {rate}"] = training_step(wrapped, x)
        times = paired(steps, max(10, rounds // 3), warmup=2)
        for key in list(steps)[1:]:
            mode, rate = key.split()
            found, spread = ratio(times, key, "plain")
            limit = (1 - float(rate)) * 1.05
            said = (
                f"<= {limit:.3f} | {'yes' if found <= limit else 'NO'}"
                if mode == "skip"
                else "- | -"
            )
            print(f"| {name} | {mode} | {rate} | {found:.3f} ± {spread:.3f} | {said} |", flush=True)


def training_step(model: nn.Module, x: Tensor) -> Step:
    """Return a step of training with SGD."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

    def step() -> None:
        model(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def recurrent(rounds: int) -> None:
    """Forward and backward of recurrent layers over nn.LSTM and its kin (rate 0.3)."""
    print("\n| layer | B x T x H | ratio | must be | reached |\n|---|---|---|---|---|")
    for batch, time, width in ((32, 50, 128), (32, 50, 256)):
        x = torch.randn(batch, time, width)
        for base in (nn.LSTM, nn.GRU):
            plain = base(width, width, batch_first=True)
            made = {
                "VariationalSample": (f"Variational{base.__name__}", {"mode": "sample"}),
                "Variational": (f"Variational{base.__name__}", {}),
                "WeightDrop": (f"WeightDrop{base.__name__}", {}),
            }
            steps = {"plain": forward_backward(plain, x)}
            for key, (cls, options) in made.items():
                layer = getattr(layers, cls).from_module(plain, 0.3, **options)
                steps[key] = forward_backward(layer, x)
            times = paired(steps, max(10, rounds // 2), warmup=2)
            for key, (cls, options) in made.items():
                found, spread = ratio(times, key, "plain")
                said = f"<= 1.25 | {'yes' if found <= 1.25 else 'NO'}" if not options else "- | -"
                label = cls + (", mode='sample'" if options else "")
                sizes = f"{batch} x {time} x {width}"
                print(f"| {label} | {sizes} | {found:.3f} ± {spread:.3f} | {said} |", flush=True)


def compiled(rounds: int) -> None:
    """Compiled with a new rate at each step, over torch's own compiled with a constant rate."""
    print("\n| variant | against, rate constant | ratio | must be | graphs | reached |")
    print("|---|---|---|---|---|---|")
    pairs = [
        ("dropout", layers.Dropout(0.1), "nn.Dropout", nn.Dropout(0.1)),
        ("spatial", layers.SpatialDropout(0.1), "nn.Dropout2d", nn.Dropout2d(0.1)),
        ("alpha", layers.AlphaDropout(0.1), "nn.AlphaDropout", nn.AlphaDropout(0.1)),
    ]
    drop_path = library("timm.layers", "DropPath")
    if drop_path is not None:
        pairs.append(("drop_path", layers.DropPath(0.1), "timm", drop_path(0.1)))
    for name, ours, rival, theirs in pairs:
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        x = torch.randn(32, 64, 28, 28)
        run = forward_backward(torch.compile(ours, fullgraph=True), x)
        moving = _moving(ours, run)
        moving()
        before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        steps = {"ours": moving, rival: forward_backward(torch.compile(theirs), x)}
        times = paired(steps, enough(steps, rounds))
        made = torch._dynamo.utils.counters["stats"]["unique_graphs"] - before - 1
        found, spread = ratio(times, "ours", rival)
        print(
            f"| {name} | {rival} | {found:.3f} ± {spread:.3f} | <= 1.05 | 1 + {made} | "
            f"{'yes' if found <= 1.05 and made == 0 else 'NO'} |",
            flush=True,
        )


def _moving(layer: layers.RateLayer, run: Step) -> Step:
    """Return the step with another rate each time, near to the rival's 0.1.

    Far from it the drawing itself would cost another time: the processor guesses rare drops well.
    """
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        layer.p = 0.05 + 0.1 * (count % 97) / 97
        run()

    return step
