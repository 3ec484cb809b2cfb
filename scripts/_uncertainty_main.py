"""The command line of `scripts/evidence-uncertainty`."""

import argparse
import functools
import pathlib
from collections.abc import Sequence

import torch
from _uncertainty_page import block, picture
from _uncertainty_runs import ARMS, TASKS, run
from evidence_sections._main import BEGIN, DOCS, END
from evidence_sections._picture import save
from evidence_sections._results import Results, Row
from evidence_sections._size import Size

NAME = "uncertainty"
TITLE = "Does it know when it is wrong?"


def main(about: str, argv: Sequence[str] | None = None) -> int:
    """Train and score what is missing, then write page and picture."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="2 seeds, 4 steps: does it run?")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=pathlib.Path, default=DOCS, help="default: docs/evidence")
    parser.add_argument("--report", action="store_true", help="run nothing, write the page again")
    given = parser.parse_args(argv)
    if given.quick and given.out == DOCS:
        parser.error("Expected `--out FOLDER` with `--quick`: its numbers are no evidence.")
    torch.set_num_threads(1)
    size = Size(2, quick=True) if given.quick else Size(given.seeds)
    path = given.out / f"{NAME}.json"
    if not given.report:
        results = Results(path)
        arms = {
            f"{task}/{arm}": functools.partial(_row, task, arm, size)
            for task in TASKS
            for arm in ARMS
        }
        results.run(arms, size.seeds, lambda line: print(line, flush=True))
    results = Results.read(path)
    if not results.finished:
        parser.error(f"Expected {path} to be finished. Run without --report.")
    save(picture(results), given.out / f"{NAME}.svg")
    page = given.out / f"{NAME}.md"
    text = page.read_text() if page.exists() else f"# {TITLE}\n\n{BEGIN}\n{END}\n"
    head, _, rest = text.partition(BEGIN)
    source = (
        f"{results.seeds} seeds, {results.seconds:.0f} s on one core. Written by "
        f"`scripts/evidence-uncertainty`; the numbers of every seed are in "
        f"[{NAME}.json]({NAME}.json)."
    )
    parts = [f"![{TITLE}]({NAME}.svg)", block(results), source]
    page.write_text(f"{head}{BEGIN}\n" + "\n\n".join(parts) + f"\n{END}{rest.partition(END)[2]}")
    print(f"{results.seconds:.0f} s, {results.seeds} seeds -> {page}")
    return 0


def _row(task: str, arm: str, size: Size, seed: int) -> Row:
    return run(task, seed, size)[arm]
