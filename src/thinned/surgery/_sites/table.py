"""Sites as a table: what a user reads first."""

import dataclasses
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from thinned.surgery._models.known import KINDS

from .functional import OutOfReach
from .site import PLACEHOLDER, Site

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

_SHOWN_SINGLY = 24
_WIDTH = 100
_LIVE = {True: "yes", False: "no", None: "unverified"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: a site, or all that differ in a number of their path only.

    Attributes:
        path: the path; ``*`` stands for the numbers, so that it can be used as a pattern.
        count: how many sites.
        rate: the rate, or the lowest and the highest.
    """

    path: str
    count: int
    kind: str
    cls: str
    rate: str
    live: str
    group: str


def rows(sites: Sequence[Site]) -> list[Row]:
    """Return the lines of the table; many sites are folded over the numbers in their paths."""
    folded: dict[tuple[str, ...], list[Site]] = {}
    for site in sites:
        path = fold(site.path) if len(sites) > _SHOWN_SINGLY else site.path
        folded.setdefault((path, site.kind, site.cls, live_word(site), site.group), []).append(site)
    return [
        Row(found[0].path if len(found) == 1 else path, len(found), kind, cls, _span(found), *rest)
        for (path, kind, cls, *rest), found in folded.items()
    ]


def live_word(site: Site) -> str:
    """Say in a word whether a site is live: yes, no or unverified; a placeholder is neither."""
    return "-" if site.kind == PLACEHOLDER else _LIVE[site.live]


def fold(path: str) -> str:
    """Put ``*`` for the numbers in a path.

    Example:
        >>> fold("encoder.layers.11.drop_path2")
        'encoder.layers.*.drop_path2'
    """
    return re.sub(r"(?<![^.])\d+(?![^.:])", "*", path)


def _span(sites: Sequence[Site]) -> str:
    if sites[0].kind == PLACEHOLDER:
        return "-"
    rates = sorted({site.rate for site in sites})
    return f"{rates[0]:.4g}" if len(rates) == 1 else f"{rates[0]:.4g} .. {rates[-1]:.4g}"


def remarks(sites: Iterable[Site], out_of_reach: Iterable[OutOfReach]) -> list[str]:
    """Return what stands below the table: the notes, and what no rate reaches."""
    noted: dict[str, list[Site]] = {}
    for site in sites:
        if site.note and site.kind != PLACEHOLDER:
            noted.setdefault(site.note, []).append(site)
        if site.read_by:
            noted.setdefault("its rate is read by a parent: set it, never swap it", []).append(site)
    lines = []
    for note, found in noted.items():
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        lines.append(f"{found[0].path}{more}: {note}")
    return lines + [f"out of reach, no site holds its rate: {call}" for call in out_of_reach]


def heading(sites: Sequence[Site]) -> str:
    """Say how many sites there are, of which kinds, and how many are live."""
    kinds = Counter(site.kind for site in sites)
    live = Counter(live_word(site) for site in sites)
    words = {"yes": "live", "no": "dead", "unverified": "unverified"}
    parts = [", ".join(f"{kinds[kind]} {kind}" for kind in (*KINDS, PLACEHOLDER) if kinds[kind])]
    parts += [", ".join(f"{live[word]} {text}" for word, text in words.items() if live[word])]
    count = f"{len(sites)} site" + ("" if len(sites) == 1 else "s")
    return "; ".join([count, *(part for part in parts if part)])


def renderable(sites: Sequence[Site], out_of_reach: Sequence[OutOfReach]) -> "Group":
    """Return heading, table and remarks for rich."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    lines = rows(sites)
    folds = any(row.count > 1 for row in lines)
    table.add_column("path", overflow="fold")
    if folds:
        table.add_column("sites", justify="right")
    for column in ("kind", "class"):
        table.add_column(column, overflow="fold")
    table.add_column("rate", justify="right", no_wrap=True)
    table.add_column("live", no_wrap=True)
    table.add_column("group", overflow="fold")
    for row in lines:
        count = [str(row.count)] if folds else []
        cells = [
            row.path or "(the model)",
            *count,
            row.kind,
            row.cls,
            row.rate,
            row.live,
            row.group,
        ]
        table.add_row(*(Text(cell) for cell in cells))
    notes = [Text(f"- {line}") for line in remarks(sites, out_of_reach)]
    blank = Text("")
    parts: list[RenderableType] = [Text(heading(sites))]
    if lines:
        parts += [blank, table]
    if notes:
        parts += [blank, *notes]
    return Group(*parts)


def as_text(sites: Sequence[Site], out_of_reach: Sequence[OutOfReach]) -> str:
    """Return heading, table and remarks as plain text."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, width=_WIDTH, color_system=None, force_terminal=False)
    console.print(renderable(sites, out_of_reach))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")
