"""``thinned diagnose``: what is wrong with the dropout of a model."""

import inspect
import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from thinned._checks import check_count, nearest

from ._command import FOUND, OK, guarded, parser, show

_EXAMPLES = (
    "thinned diagnose my_package.models:build",
    "thinned diagnose my_package.models:build --input 8,3,32,32 --fail-on warning",
    "thinned diagnose my_package.models:build --input my_package.models:example_batch",
)
_SEVERITIES = ("error", "warning", "advice", "note")  # from worst to least


def main(argv: Sequence[str]) -> int:
    """Diagnose a model; return 0, 1 where ``--fail-on`` found something, 2 where asked wrongly."""
    what = "Read a model, run it if an input is given, and report what is wrong with its dropout."
    options = parser("diagnose", what, _EXAMPLES)
    options.add_argument(
        "model", metavar="MODULE:NAME", help="a model, or a function that makes it"
    )
    options.add_argument(
        "--input", metavar="SHAPE", help="8,3,32,32 for random numbers, or MODULE:NAME"
    )
    options.add_argument(
        "--ignore", action="append", default=[], metavar="RULE", help="leave a rule out"
    )
    options.add_argument("--json", action="store_true", help="print the findings as JSON")
    options.add_argument(
        "--fail-on", choices=_SEVERITIES, help="exit with 1 on a finding as bad as this or worse"
    )
    asked = options.parse_args(argv)
    return guarded(lambda: _run(asked))


def _run(asked: Namespace) -> int:
    sys.path.insert(0, str(Path.cwd()))  # the user's own package, as `python -m` finds it
    model = load(asked.model)
    example = None if asked.input is None else _example(asked.input)

    from thinned.diagnosis import diagnose, table

    findings = [
        replace(found, fix=f"thinned diagnose {asked.model} --input 8,3,32,32, or your shape")
        if example is None and found.rule == "not-checked"
        else found
        for found in diagnose(model, example, ignore=asked.ignore)
    ]
    if asked.json:
        show(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        show(table(findings) if findings else "nothing found")
    bad = _SEVERITIES[: _SEVERITIES.index(asked.fail_on) + 1] if asked.fail_on else ()
    return FOUND if any(finding.severity in bad for finding in findings) else OK


def load(target: str) -> Any:
    """Return what ``module:name`` names; a function or class is called without arguments.

    Raises:
        TypeError: if it wants arguments.
        ValueError: if it is not of that form, or there is no such module or name.

    Example:
        >>> load("collections:OrderedDict")
        OrderedDict()
    """
    module_name, colon, name = target.partition(":")
    if not (colon and name):
        msg = f"Expected MODULE:NAME, got {target!r}. Write my_package.models:build."
        raise ValueError(msg)
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # it is there, and imports something that is not
        msg = (
            f"Expected {module_name!r} to be a module, found no {error.name!r} in this folder or "
            "installed. Type the command in the folder that holds it."
        )
        raise ValueError(msg) from None
    if not hasattr(module, name.split(".")[0]):
        known = [one for one in dir(module) if not one.startswith("_")]
        msg = f"Expected {module_name} to have {name!r}, it has not.{nearest(name, known)}"
        raise ValueError(msg)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part)
    if not callable(found) or (hasattr(found, "state_dict") and not isinstance(found, type)):
        return found  # a model is callable too
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        msg = f"Expected {target!r} to need no arguments: {error}. Name a function that calls it "
        raise TypeError(msg + "with yours.") from None
    except ValueError:  # of what is written in C nobody knows the arguments
        pass
    return found()


def _example(text: str) -> Any:
    if ":" in text:
        return load(text)
    try:
        shape = [check_count("a size", int(number)) for number in text.split(",")]
    except ValueError as error:  # an empty batch shows nothing either
        msg = f"Expected --input as a shape like 8,3,32,32 or as MODULE:NAME, got {text!r}."
        raise ValueError(msg) from error
    import torch

    return torch.randn(shape, generator=torch.Generator().manual_seed(0))
