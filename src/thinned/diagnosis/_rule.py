"""How a rule is written: one function with a decorator."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from thinned._checks import check_choice
from thinned.diagnosis._context import Context
from thinned.diagnosis._finding import SEVERITIES, Finding

NEEDS = ("example_input", "dataset_size", "world_size", "rank_generator_digests", "at_fit_start")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What a rule yields; the rule's id, severity and reference are added to make a `Finding`.

    Args:
        path: where; empty for the whole model.
        message: what is so.
        fix: what to do, as code or override.
        evidence: what was seen or measured.
        severity: another severity than the rule's own.
    """

    path: str
    message: str
    fix: str
    evidence: tuple[str, ...] = ()
    severity: str | None = None


Check = Callable[[Context], Iterator[Hit]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A registered rule.

    Args:
        id: a short name in words, joined by hyphens.
        severity: how bad it usually is.
        summary: the first line of the function's docstring.
        reference: where the rule comes from.
        needs: what the context must hold for the rule to say anything.
        better_with_input: an example input makes it see more; without, it reads the structure.
        check: the function.
    """

    id: str
    severity: str
    summary: str
    reference: str
    needs: tuple[str, ...]
    better_with_input: bool
    check: Check

    def findings(self, context: Context) -> Iterator[Finding]:
        """Run the rule, if the context has what it needs."""
        if any(not context.has(need) for need in self.needs):
            return
        for hit in self.check(context):
            yield Finding(
                rule=self.id,
                severity=hit.severity or self.severity,
                path=hit.path,
                message=hit.message,
                fix=hit.fix,
                evidence=hit.evidence,
                reference=self.reference,
            )


RULES: dict[str, Rule] = {}


def rule(
    id: str,  # noqa: A002 - what it is called in every linter
    *,
    severity: str,
    reference: str,
    needs: Collection[str] = (),
    better_with_input: bool = False,
) -> Callable[[Check], Check]:
    """Register a function as a diagnosis rule.

    The function takes a `Context` and yields a `Hit` for each thing it finds. The first line of its
    docstring says what it looks for.

    Args:
        id: a short name in words, joined by hyphens; registering it again replaces the rule.
        severity: ``"error"``, ``"warning"``, ``"advice"`` or ``"note"``.
        reference: a paper, a documentation page, or a thread.
        needs: names of `Context` fields without which the rule is not run.
        better_with_input: the rule also runs without an example input, and then sees less.

    Example:
        >>> from thinned.diagnosis import RULES, Hit, diagnose, rule
        >>> import torch
        >>> @rule("too-much", severity="advice", reference="house style")
        ... def too_much(context):
        ...     '''A rate of a half or more.'''
        ...     for site in context.sites:
        ...         if site.rate >= 0.5:
        ...             yield Hit(path=site.path, message="A lot.", fix="set_rate(model, 0.4)")
        >>> layers = torch.nn.Linear(2, 32), torch.nn.Dropout(0.5), torch.nn.Linear(32, 2)
        >>> model = torch.nn.Sequential(*layers)
        >>> [f.rule for f in diagnose(model, torch.ones(2, 2))]
        ['too-much']
        >>> del RULES["too-much"]
    """
    check_choice("severity", severity, SEVERITIES)
    for need in needs:
        check_choice("needs", need, NEEDS)

    def register(check: Check) -> Check:
        lines = (check.__doc__ or "").strip().splitlines()
        if not lines:
            msg = f"Expected rule {id!r} to have a docstring whose first line says what it finds."
            raise ValueError(msg)
        RULES[id] = Rule(
            id=id,
            severity=severity,
            summary=lines[0],
            reference=reference,
            needs=tuple(needs),
            better_with_input=better_with_input,
            check=check,
        )
        return check

    return register
