"""How much of the dropout in real models follows `set_rate`: run by scripts/census.

Each model runs forward in training mode at two rates, and every random call of torch, numpy and
Python is written down with its line. A call *follows* if it carries the rate that was set, or is
gone when the rate is 0. A mask that is still drawn at rate 0 does *not* follow; it is *reported* if
`find_sites` lists its line as out of reach. Uniform numbers that a layer drop compares with its
rate are drawn at any rate: there it is asked whether the forward follows the site. What is left is
noise that is no dropout (positions to mask, latent variables, hashes), and is listed.
"""

import argparse
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torchvision_ops
import zoo
from torch import nn

import thinned
from thinned.surgery._running.run_example import as_arguments
from thinned.surgery._running.state import untouched
from thinned.surgery._running.trace import Draw, trace

RATE = 0.37
UNIFORM = ("aten.rand.default", "numpy.random.uniform", "numpy.random.rand", "random.random")
DRAWS = {np.random: ("uniform", "rand", "random"), random: ("random", "uniform")}


@dataclass
class Count:
    """What was seen on one model.

    Attributes:
        follows: random calls that follow `set_rate`.
        misses: lines of dropout that does not follow and is not reported.
        reported: lines of dropout that does not follow and is listed as out of reach.
        noise: lines of random calls that are no dropout.
        sites: how many sites were found.
        dead: how many of them are shown to be dead.
        note: why it could not be examined, if so.
    """

    follows: int = 0
    misses: list[str] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)
    sites: int = 0
    dead: int = 0
    note: str = ""


def draws_of(model: nn.Module, given: Any) -> list[Draw]:
    """Run the model in training mode, and return every random call of all three libraries."""
    foreign: list[Draw] = []
    with untouched(model, given), _watched(foreign):
        return [*trace(model, *as_arguments(given, model)).draws, *foreign]


@contextmanager
def _watched(found: list[Draw]) -> Iterator[None]:
    """Write down who calls numpy's and Python's global generators."""
    before = [(lib, name, getattr(lib, name)) for lib, names in DRAWS.items() for name in names]

    def watch(lib: Any, name: str, draw: Callable[..., Any]) -> None:
        def watched(*args: Any, **kwargs: Any) -> Any:
            frame = sys._getframe(1)
            place = (frame.f_code.co_filename, frame.f_lineno)
            found.append(Draw(f"{lib.__name__}.{name}", (), *place))
            return draw(*args, **kwargs)

        setattr(lib, name, watched)

    for lib, name, draw in before:
        watch(lib, name, draw)
    try:
        yield
    finally:
        for lib, name, draw in before:
            setattr(lib, name, draw)


def examine(build: Callable[[], zoo.Built]) -> Count:
    """Set all rates, and see which random calls follow."""
    torch.manual_seed(0)
    model, given = build()
    sites = thinned.find_sites(model, example_input=given)
    known = {(call.file, call.line) for call in sites.out_of_reach}
    count = Count(sites=len(sites), dead=sum(site.live is False for site in sites))
    rates = [site.kind for site in sites if site.kind != "placeholder"]
    if rates:
        set_all(model, RATE, rates)
    high = draws_of(model, given)
    if rates:
        set_all(model, 0.0, rates)
    still = draws_of(model, given)
    left = Counter(place(draw) for draw in still if not is_idle(draw))
    layer_drops = [s for s in sites if s.kind == "layer_drop" and s.live]
    for draw in high:
        if is_idle(draw):
            continue
        if draw.carries(RATE) or not left[place(draw)]:
            count.follows += 1
            left[place(draw)] -= left[place(draw)] > 0
    for draw in still:
        line = f"{draw.file.rpartition('site-packages/')[2]}:{draw.line} {draw.name}"
        if is_idle(draw):
            continue
        if draw.drops:
            (count.reported if (draw.file, draw.line) in known else count.misses).append(line)
        elif layer_drops and draw.name in UNIFORM:
            count.follows += 1
        else:
            count.noise.append(line)
    return count


def set_all(model: nn.Module, rate: float, kinds: list[str]) -> None:
    """Set every rate but those of layer drops, which would skip what is to be counted."""
    others = sorted(set(kinds) - {"layer_drop"})
    for chosen, value in ((others, rate), (["layer_drop"], 0.0)):
        if any(kind in chosen for kind in kinds):
            try:
                thinned.set_rate(model, value, kinds=chosen)
            except thinned.NoEffectError:  # all of them are dead
                continue


def place(draw: Draw) -> tuple[str, str, int]:
    """Return what a random call is, and where it stands."""
    return (draw.name, draw.file, draw.line)


def is_idle(draw: Draw) -> bool:
    """Say whether a fused attention kernel was called, which draws nothing at rate 0."""
    return "attention" in draw.name and not draw.drops


def survey(words: list[str], rate: float) -> Iterator[tuple[str, Count]]:
    """Examine all models whose name contains one of the words."""
    for name, build in zoo.builders(rate).items():
        if words and not any(word in name for word in words):
            continue
        try:
            yield name, examine(build)
        except Exception as error:  # one model that fails must not end the census
            yield name, Count(note=f"{type(error).__name__}: {str(error).splitlines()[0][:120]}")


def main() -> int:
    """Print a line a model and a row a library; fail below the bar."""
    parser = argparse.ArgumentParser(description="How much dropout follows set_rate.")
    parser.add_argument("words", nargs="*", help="only models whose name contains one of these")
    parser.add_argument(
        "--rate", type=float, default=0.1, help="the rate that models are built with"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torchvision_ops.declare()
    began = time.time()
    found: dict[str, Count] = {}
    for name, count in survey(options.words, options.rate):
        found[name] = count
        parts = [
            f"{count.sites:4} sites, {count.dead:3} dead, {count.follows:4} random calls follow"
        ]
        parts += [f"MISSED {line}" for line in sorted(set(count.misses))]
        parts += [f"reported {line}" for line in sorted(set(count.reported))]
        parts += [f"no dropout: {line}" for line in sorted(set(count.noise))]
        parts += [f"FAILED {count.note}"] if count.note else []
        print(f"{name:48} {'; '.join(parts)}", flush=True)
    print(f"\n{'library':14} models  with sites  sites  dead  dropout calls  follow    share")
    libraries = dict.fromkeys(name.partition("/")[0] for name in found)
    for library in [*libraries, "all"]:
        print(row(library, [c for n, c in found.items() if library in ("all", n.split("/")[0])]))
    failed = [name for name, count in found.items() if count.note]
    print(f"\n{time.time() - began:.0f} s; {len(failed)} models could not be examined: {failed}")
    return int(bool(failed) or share(list(found.values())) < 0.999)


def share(counts: list[Count]) -> float:
    """Return the share of dropout calls that follow; what is reported counts as not following."""
    follows = sum(count.follows for count in counts)
    total = follows + sum(len(count.misses) + len(count.reported) for count in counts)
    return follows / total if total else 1.0


def row(name: str, counts: list[Count]) -> str:
    """Return a line of the table."""
    follows = sum(count.follows for count in counts)
    total = follows + sum(len(count.misses) + len(count.reported) for count in counts)
    sites, dead = sum(c.sites for c in counts), sum(c.dead for c in counts)
    held = sum(count.sites > 0 for count in counts)
    return (
        f"{name:14} {len(counts):6} {held:11} {sites:6} {dead:5} {total:14} {follows:7} "
        f"{share(counts):8.2%}"
    )


if __name__ == "__main__":
    sys.exit(main())
