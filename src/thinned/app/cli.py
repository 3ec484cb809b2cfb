"""The command ``thinned``: one subcommand a task, each imported when it is used."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from thinned._checks import nearest

_COMMANDS = {
    "train": "fit a network on real data with scheduled dropout; -m for many runs",
    "compare": "say which rate, schedule or variant lowered validation loss, with its error bar",
    "report": "write the page of a run, or of several",
    "diagnose": "read a model and report what is wrong with its dropout",
    "dashboard": "make a Weights & Biases workspace of the curves",
}

_USAGE = """\
thinned: schedule dropout rates, swap layer variants and measure overfitting.

  thinned COMMAND ...

{commands}

thinned COMMAND --help says more of each.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: what follows ``thinned``; by default what was typed.

    Returns:
        0; 1 where something failed; 2 where what was typed is wrong.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in {"-sc", "--shell-completion"}:
        if offered := _complete(os.environ.get("COMP_LINE", "")):
            sys.stdout.write(f"{' '.join(offered)}\n")
            return 0
        words = ["train", *words]
    if not words or words[0] in {"-h", "--help", "help"}:
        sys.stdout.write(_usage())
        return 0
    if words[0] == "--version":
        from thinned import __version__

        sys.stdout.write(f"thinned {__version__}\n")
        return 0
    if words[0] not in _COMMANDS:
        hint = nearest(words[0], _COMMANDS)
        listed = ", ".join(_COMMANDS)
        sys.stderr.write(f"thinned: Expected a command of {listed}, got {words[0]!r}.{hint}\n")
        return 2
    run: Callable[[Sequence[str]], int] = import_module(f"thinned.app.{words[0]}").main
    return run(words[1:])


def _complete(line: str) -> list[str]:
    """Return the commands that complete a line; none where Hydra is to complete what follows.

    The shell calls the program, not the subcommand, so ``train`` is taken out of the line.
    """
    name, _, rest = line.partition(" ")
    command, space, arguments = rest.lstrip().partition(" ")
    if command == "train" and space:
        os.environ["COMP_LINE"] = f"{name} {arguments}"
        return []
    return [one for one in _COMMANDS if one.startswith(command)] if name and not space else []


def _usage() -> str:
    width = max(len(name) for name in _COMMANDS)
    lines = [f"  {name:<{width}}  {text}" for name, text in _COMMANDS.items()]
    return _USAGE.format(commands="\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
