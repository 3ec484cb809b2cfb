"""Run all rules on a model."""

import importlib
import pkgutil
import re
from collections.abc import Iterable
from typing import Any

from torch import nn

from thinned._checks import check_choice
from thinned.diagnosis import rules as rules_package
from thinned.diagnosis._context import Context
from thinned.diagnosis._finding import Finding, by_severity
from thinned.diagnosis._rule import RULES, Rule
from thinned.surgery._edits.editable import require_module

SHOWN = 4


def diagnose(
    model: nn.Module, example_input: Any = None, *, ignore: Iterable[str] = (), **context: Any
) -> list[Finding]:
    """Read a model, run it if an example is given, and report what is wrong with its dropout.

    The model is run a few times in either mode, without gradients. Afterwards it is as before:
    modes, buffers, attributes, hooks, rates and all random generators.

    Args:
        model: any module.
        example_input: what to call it with: a tensor, a tuple of arguments, or a mapping of keyword
            arguments. Several rows are better than one. Without it only the structure is read, and
            a note says which rules could not look.
        ignore: ids of rules to leave out.
        **context: what a trainer knows, such as ``dataset_size=5000`` or ``world_size=2``; the
            fields of `thinned.diagnosis.Context`.

    Returns:
        The findings, the worst first; empty if no rule found anything.

    Raises:
        TypeError: if ``model`` is no module, or a field of the context is unknown.
        ValueError: if an id in ``ignore`` is unknown.

    Example:
        >>> import torch, thinned
        >>> net = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.ReLU(),
        ...     torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(64), torch.nn.Linear(64, 2))
        >>> [found] = thinned.diagnose(net, torch.randn(64, 8))
        >>> found.rule, found.path
        ('dropout-before-batch-norm', '2')
    """
    require_module(model)
    rules = all_rules()
    left_out = {check_choice("ignore", name, rules) for name in ignore}
    seen = Context(model=model, example_input=example_input, **context)
    chosen = [rule for rule in rules.values() if rule.id not in left_out]
    found = [finding for rule in chosen for finding in _findings(rule, seen)]
    found += _not_checked(seen, chosen)
    return sorted(_merged(found), key=by_severity)


def all_rules() -> dict[str, Rule]:
    """Return all rules by id, those of other packages too."""
    for entry in pkgutil.iter_modules(rules_package.__path__):
        importlib.import_module(f"{rules_package.__name__}.{entry.name}")
    return RULES


def _findings(rule: Rule, context: Context) -> list[Finding]:
    """Run one rule; one that fails on somebody's model takes no other's findings away."""
    try:
        return list(rule.findings(context))
    except Exception as error:  # a rule meets models that its author never saw
        return [
            Finding(
                rule=rule.id,
                severity="note",
                path="",
                message=f"This rule could not be checked: {type(error).__name__}: {error}",
                fix=f'Report it, and meanwhile: diagnose(model, ignore=["{rule.id}"])',
                reference=rule.reference,
            )
        ]


def _not_checked(context: Context, rules: list[Rule]) -> list[Finding]:
    """Say what would have needed an example input, or one that works."""
    if context.training is not None and context.evaluation is not None:
        return []
    blind = [rule.id for rule in rules if "example_input" in rule.needs]
    partly = [rule.id for rule in rules if rule.better_with_input]
    if context.not_run:
        message = f"The example input could not be run: {context.not_run}"
        fix = "Check it with `model(example_input)`; a tuple is unpacked, a mapping is keywords."
        if context.not_run.startswith(NotImplementedError.__name__):  # a module without a forward
            fix = "Give it a `forward`, or check each part: thinned.diagnose(model.part, example)"
    else:
        message = "No example input was given, so the model was not run."
        fix = "thinned.diagnose(model, example_input)"
    evidence = (
        f"not checked: {', '.join(blind)}",
        f"read from the structure only: {', '.join(partly)}",
    )
    return [
        Finding(
            rule="not-checked",
            severity="note",
            path="",
            message=message,
            fix=fix,
            evidence=evidence,
        )
    ]


def _merged(findings: list[Finding]) -> list[Finding]:
    """Make one finding of those that differ only by a number in the path, as in twelve blocks."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        place = re.sub(r"\d+", "*", finding.path)
        groups.setdefault((finding.rule, finding.severity, place), []).append(finding)
    return [_as_one(place, group) for (_, _, place), group in groups.items()]


def _as_one(place: str, group: list[Finding]) -> Finding:
    first = group[0]
    paths = list(dict.fromkeys(finding.path for finding in group))
    if len(paths) == 1:
        evidence = tuple(dict.fromkeys(line for finding in group for line in finding.evidence))
        return Finding(**{**_fields(first), "evidence": evidence})
    shown = ", ".join(paths[:SHOWN]) + (", ..." if len(paths) > SHOWN else "")
    also = f"so in {len(paths)} places: {shown}"
    return Finding(**{**_fields(first), "path": place, "evidence": (*first.evidence, also)})


def _fields(finding: Finding) -> dict[str, Any]:
    return {name: getattr(finding, name) for name in Finding.__slots__}
