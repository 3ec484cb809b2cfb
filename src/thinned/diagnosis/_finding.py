"""What a rule found: where, why it is believed, and what to do about it."""

from dataclasses import dataclass

SEVERITIES = ("error", "warning", "advice", "note")
"""From worst to least: the result is wrong or training breaks; regularization is not what it
seems; another choice is usually better; something could not be checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a rule found in a model.

    Args:
        rule: the rule's id, such as ``"dropout-before-batch-norm"``.
        severity: one of ``SEVERITIES``.
        path: where, as ``find_sites`` writes paths; empty for the whole model.
        message: what is so, in one or two sentences.
        fix: what to do, as code or as a Hydra override wherever that is possible.
        evidence: what was seen or measured, one statement each.
        reference: where the rule comes from: paper, documentation or a thread of those hurt.
    """

    rule: str
    severity: str
    path: str
    message: str
    fix: str
    evidence: tuple[str, ...] = ()
    reference: str = ""

    def __str__(self) -> str:
        """The finding in a few lines, for a terminal."""
        place = f" at {self.path}" if self.path else ""
        seen = "".join(f"\n  seen: {line}" for line in self.evidence)
        return f"{self.severity}: {self.rule}{place}\n  {self.message}{seen}\n  fix: {self.fix}"


def by_severity(finding: Finding) -> int:
    """Return the sort key that puts the worst first."""
    return SEVERITIES.index(finding.severity)
