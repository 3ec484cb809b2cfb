"""Times every variant against the fastest equal that could be found, in turns, on one thread."""

import argparse
import platform

import torch
from _layer_models import compiled, recurrent, skipping
from _layer_rows import rows
from _timing import enough, forward_backward, milliseconds, paired, peak_bytes, ratio


def eager(rounds: int) -> None:
    """Forward and backward of each variant."""
    print("\n| variant | against | ratio | must be | ms | reached |\n|---|---|---|---|---|---|")
    for row in rows():
        x = row.x()
        steps = {"ours": forward_backward(row.ours.train(), x)}
        steps |= {name: forward_backward(other.train(), x) for name, other in row.equals.items()}
        times = paired(steps, enough(steps, rounds))
        rival = min(row.equals, key=lambda name: milliseconds(times, name))
        found, spread = ratio(times, "ours", rival)
        print(
            f"| {row.name} | {rival} | {found:.3f} ± {spread:.3f} | <= {row.limit} | "
            f"{milliseconds(times, 'ours'):.2f} | {'yes' if found <= row.limit else 'NO'} |",
            flush=True,
        )


def memory(_: int) -> None:
    """Peak of what forward and backward allocate."""
    print("\n| variant | against | peak, MiB | its peak, MiB | ratio | reached |")
    print("|---|---|---|---|---|---|")
    for row in rows():
        x = row.x()
        torch.manual_seed(0)
        ours = peak_bytes(forward_backward(row.ours.train(), x))
        theirs = {}
        for name, other in row.equals.items():
            torch.manual_seed(0)
            theirs[name] = peak_bytes(forward_backward(other.train(), x))
        rival = min(theirs, key=lambda name: theirs[name])
        found = ours / theirs[rival]
        print(
            f"| {row.name} | {rival} | {ours / 2**20:.1f} | {theirs[rival] / 2**20:.1f} | "
            f"{found:.3f} | {'yes' if found <= 1.05 else 'NO'} |",
            flush=True,
        )


TABLES = {
    "eager": eager,
    "skip": skipping,
    "recurrent": recurrent,
    "compiled": compiled,
    "memory": memory,
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", choices=TABLES, action="append", help="all, if not given")
    parser.add_argument("--rounds", type=int, default=60, help="pairs of measurements (60)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {platform.machine()}, 1 thread, CPU time")
    for name in given.table or TABLES:
        print(f"\n== {name}: {TABLES[name].__doc__}")
        TABLES[name](given.rounds)


if __name__ == "__main__":
    main()
