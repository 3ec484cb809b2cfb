"""Show findings in a terminal, and the rules in the documentation."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from thinned.diagnosis._finding import Finding
from thinned.diagnosis._rule import Rule

if TYPE_CHECKING:
    from rich.table import Table

COLORS = {"error": "bold red", "warning": "yellow", "advice": "cyan", "note": "dim"}


def table(findings: Iterable[Finding]) -> "Table":
    """Return the findings as a table for ``rich.print``.

    Example:
        >>> import rich, torch, thinned
        >>> from thinned.diagnosis import table
        >>> rich.print(table(thinned.diagnose(torch.nn.Linear(2, 2), torch.ones(1, 2))).title)
        0 findings
    """
    from rich.table import Table
    from rich.text import Text

    rows = list(findings)
    title = f"{len(rows)} finding" + ("" if len(rows) == 1 else "s")
    shown = Table(title=title, show_lines=True, title_justify="left")
    shown.add_column("severity", no_wrap=True)
    shown.add_column("rule", overflow="fold")
    shown.add_column("path", overflow="fold")
    shown.add_column("what is so, and what to do", overflow="fold", ratio=1)
    for row in rows:
        told = Text(row.message)
        for line in row.evidence:
            told.append(f"\nseen: {line}", style="dim")
        told.append(f"\nfix: {row.fix}", style="green")
        severity = Text(row.severity, style=COLORS[row.severity])
        shown.add_row(severity, Text(row.rule), Text(row.path), told)
    return shown


def as_markdown(rules: Iterable[Rule]) -> str:
    """Return the table of rules that stands in ``docs/diagnosis.md``."""
    lines = [
        "| rule | severity | what it looks for | needs | reference |",
        "|---|---|---|---|---|",
    ]
    for rule in sorted(rules, key=lambda rule: rule.id):
        needs = [f"`{need}`" for need in rule.needs]
        if rule.better_with_input:
            needs.append("better with `example_input`")
        cells = (f"`{rule.id}`", rule.severity, rule.summary, ", ".join(needs), rule.reference)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
