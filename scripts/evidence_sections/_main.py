"""The command line of `scripts/evidence`: run sections, write their tables and pictures."""

import argparse
import importlib
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import torch

from ._picture import save
from ._results import Results
from ._size import Size

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "evidence"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
SECTIONS = (
    "techniques",
    "data_size",
    "rates",
    "layer_size",
    "places",
    "batch_norm",
    "beside",
    "early_late",
    "curriculum",
    "selu",
    "price",
    "by_width",
    "weather",
    "shortcut",
)


def main(about: str, argv: Sequence[str] | None = None) -> int:
    """Parse the command line, and run what it asks for."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="2 seeds, 4 steps: does it run?")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=pathlib.Path, default=DOCS, help="default: docs/evidence")
    parser.add_argument("--report", action="store_true", help="run nothing, write pages again")
    given = parser.parse_args(argv)
    unknown = set(given.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"Expected sections of {', '.join(SECTIONS)}, got {', '.join(unknown)}.")
    if given.quick and given.out == DOCS:
        parser.error("Expected `--out FOLDER` with `--quick`: its numbers are no evidence.")
    torch.set_num_threads(1)
    size = Size(2, quick=True) if given.quick else Size(given.seeds)
    began = time.perf_counter()
    for name in given.sections or SECTIONS:
        run(name, size, given.out, report=given.report)
    print(f"{time.perf_counter() - began:.0f} s in all")
    return 0


def run(name: str, size: Size, out: pathlib.Path, *, report: bool) -> None:
    """Make the numbers of one section, then its table and its picture."""
    section = importlib.import_module(f"evidence_sections.{name}")
    path = out / "data" / f"{name}.json"
    results = Results.read(path)
    if not report:
        print(f"{name}: {section.TITLE}", flush=True)
        if results.finished:
            results = Results(path)
        results.run(section.arms(size), size.seeds, lambda line: print(line, flush=True))
        results = Results.read(path)  # the page is made from what is kept, which is rounded
    elif not results.finished:
        print(f"{name}: nothing to report, {path} is missing or not finished")
        return
    write(section, name, results, out)
    print(f"{name}: {results.seconds:.0f} s, {results.seeds} seeds -> {out / name}.md", flush=True)


def write(section: Any, name: str, results: Results, out: pathlib.Path) -> None:
    """Put table and picture between the page's markers; a page that is missing is begun."""
    save(section.picture(results), out / f"{name}.svg")
    page = out / f"{name}.md"
    text = (
        page.read_text()
        if page.exists()
        else f"# {section.TITLE}\n\n## Results\n\n{BEGIN}\n{END}\n"
    )
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    total = sum(len(rows) for rows in results.arms.values())
    source = (
        f"{results.seeds} seeds, {total} runs, {results.seconds:.0f} s on one core. Written by "
        f"`scripts/evidence {name}`; the numbers of every run are in "
        f"[data/{name}.json](data/{name}.json)."
    )
    parts = [f"![{section.TITLE}]({name}.svg)", section.block(results), source]
    page.write_text(f"{head}{BEGIN}\n" + "\n\n".join(parts) + f"\n{END}{tail}")
