"""What a run comes to, in a few lines for the terminal."""

from pathlib import Path

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from thinned.report._format import from_here, short
from thinned.report._records.record import Record

from .answer import answer

_STYLES = {"good": "green", "bad": "red", "warn": "yellow", "calm": "cyan"}
_MOST_GROUPS = 6


def summary(record: Record, page: Path | None = None) -> Panel:
    """Draw the verdict, the figures, the rates and where the page is.

    Args:
        record: the run.
        page: the page that was made of it.
    """
    found = answer(record)
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    for tile in found.tiles:
        note = f" ({tile.note})" if tile.note else ""
        rows.add_row(Text(tile.title), Text(f"{tile.value}{note}"))
    if rates := last_rates(record):
        rows.add_row("rates", Text(rates))
    if found.action:
        rows.add_row("now", Text(found.action))
    if found.command and found.command not in found.action:
        rows.add_row("command", Text(found.command))
    rows.add_row("report" if page else "record", Text(from_here(page or record.path)))
    title = Text(found.headline, style=f"bold {_STYLES[found.tone]}")
    body = Table.grid()
    body.add_row(title)
    for line in found.evidence:
        body.add_row(Text(f"· {line}"))
    body.add_row(rows)
    return Panel(body, title="thinned", title_align="left", border_style=_STYLES[found.tone])


def last_rates(record: Record) -> str:
    """Write every group's last rate.

    Example:
        >>> from thinned.report import RateRow
        >>> row = RateRow(1, 0.0, 0.0, {"head": 0.5, "backbone": 0.1}, {})
        >>> last_rates(Record(Path("r"), rates=[row]))
        'head 0.5, backbone 0.1'
    """
    groups = next((row.groups for row in reversed(record.rates) if row.groups), {})
    told = [f"{name} {short(rate, 3)}" for name, rate in list(groups.items())[:_MOST_GROUPS]]
    more = len(groups) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")
