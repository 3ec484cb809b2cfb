"""What the subcommands other than ``train`` share: their parser, their errors, their output."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from ._errors import one_line

OK, FOUND, WRONG = 0, 1, 2
FAILED = "or on failed: also what crashed, was interrupted or diverged"


def parser(name: str, what: str, examples: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return a parser for ``thinned NAME``, with examples below its options."""
    lines = "\n".join(f"  {example}" for example in examples)
    return argparse.ArgumentParser(
        prog=f"thinned {name}",
        description=what,
        epilog=f"examples:\n{lines}" if lines else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_page_and_fail_on(options: argparse.ArgumentParser, where: str, what: str) -> None:
    """Add what ``report`` and ``compare`` share: the page, or none, and a condition for CI."""
    options.add_argument("--page", metavar="FILE", help=where)
    options.add_argument("--no-page", action="store_true", help="write no page")
    options.add_argument("--fail-on", action="append", default=[], metavar="WHAT", help=what)


def guarded(action: Callable[[], int]) -> int:
    """Run a subcommand; what the user got wrong is one line and exit code 2.

    With ``HYDRA_FULL_ERROR=1`` the traceback is shown, as for ``thinned train``.
    """
    try:
        return action()
    except (OSError, ImportError, TypeError, ValueError) as error:
        from thinned.report._records.data import clean

        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exception(error)
        sys.stderr.write(f"thinned: {clean(one_line(str(error)))}\n")
        return WRONG


def show(*things: Any) -> None:
    """Print to the terminal: tables and panels in its width, text as it is."""
    from rich.console import Console

    console = Console(soft_wrap=False)
    for thing in things:
        if isinstance(thing, str):
            console.print(thing, markup=False, highlight=False, soft_wrap=True)
        else:
            console.print(thing)
