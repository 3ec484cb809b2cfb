"""Paired measurements: pieces of code in turns, in CPU time, for a machine that others use too."""

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch.profiler import ProfilerActivity, profile

Step = Callable[[], object]


def paired(steps: Mapping[str, Step], rounds: int = 60, warmup: int = 5) -> dict[str, list[float]]:
    """Return the CPU seconds of each step in each round; the order in a round is drawn anew."""
    rng = random.Random(0)
    names = list(steps)
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(warmup):
        for name in names:
            steps[name]()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            rng.shuffle(names)
            for name in names:
                began = time.process_time()
                steps[name]()
                times[name].append(time.process_time() - began)
    finally:
        gc.enable()
    return times


def enough(steps: Mapping[str, Step], rounds: int) -> int:
    """Return how many rounds to make: five times as many where all steps together take 20 ms."""
    began = time.process_time()
    for step in steps.values():
        step()
    return 5 * rounds if time.process_time() - began < 0.02 else rounds


def ratio(times: Mapping[str, list[float]], ours: str, theirs: str) -> tuple[float, float]:
    """Return the median over rounds of ours over theirs, and half its 95 % interval."""
    each = sorted(a / b for a, b in zip(times[ours], times[theirs], strict=True))
    half = 1.96 * len(each) ** 0.5 / 2  # ranks around the median, from the binomial distribution
    low = each[max(0, round(len(each) / 2 - half))]
    high = each[min(len(each) - 1, round(len(each) / 2 + half))]
    return statistics.median(each), (high - low) / 2


def milliseconds(times: Mapping[str, list[float]], name: str) -> float:
    """Return the median of a step's times."""
    return 1e3 * statistics.median(times[name])


def peak_bytes(step: Step) -> int:
    """Return how far a step's allocations rise above where it began."""
    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    events = profiled.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def forward_backward(module: Callable[..., object], *inputs: torch.Tensor) -> Step:
    """Return a step that runs a module forward and backward, to inputs and parameters."""
    leaves = [x.requires_grad_() for x in inputs if x.is_floating_point()]
    if isinstance(module, torch.nn.Module):
        leaves += list(module.parameters())
    seed: list[torch.Tensor] = []

    def step() -> None:
        y = module(*inputs)
        while isinstance(y, tuple):
            y = y[0]
        if not seed or seed[0].shape != y.shape:
            seed[:] = [torch.randn_like(y)]
        torch.autograd.grad(y, leaves, seed[0], allow_unused=True)

    return step
