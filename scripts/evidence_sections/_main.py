"""The command line of `scripts/evidence`: run sections, write their tables and pictures."""

import argparse
import functools
import importlib
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ._picture import save
from ._quote import filled
from ._results import Results
from ._size import Size
from ._tasks import described

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
    if given.out == DOCS:
        index = DOCS.with_suffix(".md")
        index.write_text(put(index.read_text(), described()))
        for page in quoting():
            page.write_text(filled(page.read_text(), figures))
    print(f"{time.perf_counter() - began:.0f} s in all")
    return 0


def run(name: str, size: Size, out: pathlib.Path, *, report: bool) -> None:
    """Make the numbers of one section, then its table and its picture."""
    module = importlib.import_module(f"evidence_sections.{name}")
    path = out / "data" / f"{name}.json"
    results = Results.read(path)
    if not report:
        print(f"{name}: {module.TITLE}", flush=True)
        if results.finished:
            results = Results(path)
        results.run(module.SECTION.arms(size), size.seeds, lambda line: print(line, flush=True))
        results = Results.read(path)  # the page is made from what is kept, which is rounded
    elif not results.finished:
        print(f"{name}: nothing to report, {path} is missing or not finished")
        return
    write(module, name, results, out)
    print(f"{name}: {results.seconds:.0f} s, {results.seeds} seeds -> {out / name}.md", flush=True)


def write(module: Any, name: str, results: Results, out: pathlib.Path) -> None:
    """Put tables and pictures between the page's markers; a page that is missing is begun."""
    for old in out.glob(f"{name}*.svg"):
        old.unlink()
    for case, made in module.SECTION.pictures(results).items():
        save(made, out / picture(name, case))
    page = out / f"{name}.md"
    text = (
        page.read_text() if page.exists() else f"# {module.TITLE}\n\n## Results\n\n{BEGIN}\n{END}\n"
    )
    page.write_text(put(text, block(module, name, results)))


def put(text: str, made: str) -> str:
    """Put what is made between the markers of a page."""
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}"


def quoting() -> list[pathlib.Path]:
    """The pages whose prose quotes figures."""
    pages = [DOCS.with_suffix(".md"), DOCS.parent / "choosing-a-rate.md"]
    pages += [DOCS / f"{name}.md" for name in SECTIONS]
    return [*pages, *sorted((DOCS.parent / "techniques").glob("*.md"))]


@functools.cache
def figures(name: str) -> Mapping[str, str]:
    """Every figure of a section that prose may quote, from the numbers that are kept."""
    section = importlib.import_module(f"evidence_sections.{name}").SECTION
    return section.figures(Results.read(DOCS / "data" / f"{name}.json"))


def picture(name: str, case: str) -> str:
    """The file of a picture."""
    return f"{name}{'-' if case else ''}{case.replace(' ', '-').replace(',', '')}.svg"


def block(module: Any, name: str, results: Results) -> str:
    """What stands between the markers of a page."""
    files = {case: picture(name, case) for case in module.SECTION.shown(results)}
    total = sum(len(rows) for rows in results.arms.values())
    source = (
        f"{results.seeds} seeds, {total} runs, {results.seconds:.0f} s on one core. Written by "
        f"`scripts/evidence {name}`; the numbers of every run are in "
        f"[data/{name}.json](data/{name}.json)."
    )
    return f"{module.SECTION.block(results, files)}\n\n{source}"
