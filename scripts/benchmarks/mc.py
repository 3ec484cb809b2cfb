"""Times mc_predict against the loop, and against the best that can be written by hand, in turns."""

import argparse
import copy
import platform
import statistics
import time

import torch
from _mc_models import CASES

from thinned.uncertainty import active_sites, mc_predict, sampling


def plain(case, x):
    """Run one deterministic forward, without the fused path of torch's transformers."""
    with torch.no_grad(), sampling(case.model, ()):
        return case.model(x)


def loop(case, x, count, on):
    """Draw samples as anybody would: dropout on, norms off, a forward each."""
    with torch.no_grad(), sampling(case.model, on):
        return torch.stack([case.model(x) for _ in range(count)])


def by_hand(case, x, count, on):
    """Compute what comes before dropout once, by hand, and the rest for every sample."""
    with torch.no_grad(), sampling(case.model, on):
        hidden = case.begin(x)
        return torch.stack([case.rest(hidden) for _ in range(count)])


def by_hand_at_once(case, x, count, on):
    """Compute what comes before dropout once, by hand, and the rest for a batch of copies."""
    with torch.no_grad(), sampling(case.model, on):
        hidden = case.begin(x)
        return case.rest(torch.cat([hidden] * count)).unflatten(0, (count, len(x)))


def ours(case, x, count, on):
    """Let mc_predict find out by itself what is on and what to share, and sum up."""
    del on
    return mc_predict(case.model, x, count)


WAYS = (loop, by_hand, by_hand_at_once, ours)


def seconds(function, *given):
    """Return the CPU seconds of one call."""
    start = time.thread_time()
    function(*given)
    return time.thread_time() - start


def measured(case, count, rounds):
    """Return the seconds of a plain forward, and by round what each way costs in plain forwards."""
    x = torch.randn(case.shape)
    ratios = {way.__name__: [] for way in WAYS}
    ratios["first"], singles = [], []
    on = active_sites(case.model)
    for way in WAYS:
        for _ in range(3):
            way(case, x, count, on)
    repeats = max(1, round(0.005 / seconds(plain, case, x)))  # of what is short
    for _ in range(rounds):
        single = statistics.median(seconds(plain, case, x) for _ in range(3 * repeats))
        singles.append(single)
        for way in WAYS:
            times = [seconds(way, case, x, count, on) for _ in range(repeats)]
            ratios[way.__name__].append(statistics.median(times) / single)
        unknown = copy.deepcopy(case.model)
        took = seconds(mc_predict, unknown, x, count)
        ratios["first"].append(took / single)
    return statistics.median(singles), ratios, ours(case, x, count, on).method


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="rounds of measurements (9)")
    parser.add_argument("--samples", type=int, default=20, help="number of samples (20)")
    parser.add_argument("--only", default="", help="part of the names of the models to measure")
    given = parser.parse_args()
    torch.set_num_threads(1)
    # Freed once, a large block makes glibc keep the memory of all later ones: else each tensor of
    # some hundred kB costs page faults, or does not, by what the process has done before.
    torch.empty(31 * 2**20, dtype=torch.uint8)
    print(f"torch {torch.__version__}, {platform.machine()}, 1 thread, T={given.samples}\n")
    head = ["model, where dropout is", "a forward, ms", "loop", "by hand", "by hand, at once"]
    head += ["ours", "ours : by hand", "ours : loop", "first call : loop", "how"]
    print("|", " | ".join(head), "|\n|" + "---|" * len(head))
    for name, make in CASES.items():
        if given.only not in name:
            continue
        torch.manual_seed(0)
        case = make()
        case.model.eval()
        single, ratios, method = measured(case, given.samples, given.rounds)
        middle = {way: statistics.median(values) for way, values in ratios.items()}

        def against(one, other, ratios=ratios):
            pairs = zip(ratios[one], ratios[other], strict=True)
            return statistics.median(a / b for a, b in pairs)

        row = [name, f"{single * 1e3:.2f}", f"{middle['loop']:.1f}", f"{middle['by_hand']:.2f}"]
        row += [f"{middle['by_hand_at_once']:.2f}", f"{middle['ours']:.2f}"]
        row += [f"{against('ours', 'by_hand'):.2f}", f"{against('ours', 'loop'):.2f}"]
        row += [f"{against('first', 'loop'):.2f}", method]
        print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
