"""The page of one run."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thinned import __version__
from thinned.report._format import short
from thinned.report._pages import figures
from thinned.report._records.course import Course, course, diverged, main_metric
from thinned.report._records.read import read_run
from thinned.report._records.record import Record, ended

from .answer import answer, onset
from .calibration import calibration_figures, calibration_rows
from .render import render, write

PAGE_NAME = "report.html"
_READ: dict[Any, str] = {True: "yes", False: "no"}
STEEP = "The axis leaves out the steep beginning."
STATUS_TONES = {"finished": "good", "running": "calm", "failed": "bad", "crashed": "bad"}
STATUS_TONES |= {"unknown": "calm", "stopped": "calm", "diverged": "bad"}


def write_page(run: str | Path | Record, out: str | Path | None = None) -> Path:
    """Write the page of one run: a single HTML file that loads nothing.

    Args:
        run: the run's folder (with our record, or what CSVLogger or TensorBoardLogger wrote), or
            the record itself.
        out: the file to write; without it ``report.html`` beside the record.

    Returns:
        The file that was written.
    """
    record = run if isinstance(run, Record) else read_run(run)
    return write(page(record), Path(out) if out else record.folder / PAGE_NAME)


def page(record: Record) -> str:
    """Make the page of one run, as text."""
    drawn = run_figures(record)
    status = ended(record, diverged(record, main_metric(record)))
    site_head, sites = _sites(record)
    return render(
        "run.html",
        {name: figure for name, (figure, *_) in drawn.items()},
        title=f"{record.name}: thinned report",
        record=record,
        status=status,
        status_tone=STATUS_TONES.get(status, "warn"),
        found=answer(record),
        drawn=drawn,
        site_head=site_head,
        sites=sites,
        scores=calibration_rows(record),
        config=json.dumps(record.config, indent=2, ensure_ascii=False),
        **made(),
    )


def made() -> dict[str, str]:
    """When and by what a page was made."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return {"made": now, "version": __version__}


def run_figures(record: Record) -> dict[str, tuple[Any, str, str]]:
    """The figures that this run has: the figure, its title, and its text alternative."""
    metric = main_metric(record)
    went = course(record, metric) if metric else None
    drawn = _metric_figures(record, went) if went else {}
    if any(row.groups for row in record.rates):
        text = "The rate of each group over time, read back from the modules."
        drawn["rates"] = (figures.rates(record), "Rates", text)
    if any(rate > 0.0 for row in record.rates for rate in row.sites.values()):
        text = "Each row is a place in the model that holds a rate, the first layer on top."
        drawn["heat"] = (figures.heat(record.rates), "Rate of every site", text)
    for figure, *_ in drawn.values():
        figures.at_whole_epochs(figure)
    return drawn | calibration_figures(record)


def _metric_figures(record: Record, went: Course) -> dict[str, tuple[Any, str, str]]:
    """The figures of the main metric: its course, the gap, and what of it is noise."""
    metric = went.metric
    # A probe is better than validation: at the other edge their names cover neither.
    marks = _marks(record, went, low=went.mode == "max")
    learning = figures.learning(record, metric, went.mode, marks)
    text = (
        f"{metric} is best at epoch {short(went.best_epoch, 3)} ({short(went.best)}) and "
        f"{short(went.last) if went.diverged is None else 'not finite'} at the end."
    )
    title = "Validation over the epochs"
    if record.series(f"overfit/probe/{metric}"):
        title = "Probe against validation"
        text += " Where validation leaves the training probe behind, the run overfits."
    if "range" in learning["layout"]["yaxis"]:
        text += f" {STEEP}"
    drawn = {"learning": (learning, title, text)}
    if record.series(f"overfit/gap/{metric}"):
        text = (
            "Validation minus training probe, both measured without dropout by the same "
            "code. A gap that grows while validation gets worse is overfitting."
        )
        marks = _marks(record, went, low=True)
        drawn["gap"] = (figures.gap(record, metric, marks), "The fair gap", text)
    if record.series(f"overfit/inflation/{metric}"):
        text = (
            "Training metrics are logged with dropout on, which makes them worse than the "
            "model is. This is the part of the naive difference that dropout itself makes."
        )
        drawn["noise"] = (figures.noise(record, metric), "What of the difference is noise", text)
    return drawn


def _marks(record: Record, went: Course, *, low: bool) -> list[figures.Figure]:
    """The moments that count, each by its name."""
    moments = [
        ("best", went.best_epoch, "@best"),
        ("onset", onset(record), "@onset"),
        ("not finite", went.diverged, "@onset"),
    ]
    known = [(name, at, colour) for name, at, colour in moments if at is not None]
    return [
        figures.mark(at, name, colour, row=row, low=low)
        for row, (name, at, colour) in enumerate(known)
    ]


def _sites(record: Record) -> tuple[list[str], list[list[Any]]]:
    """The sites as a table; what is known of none of them has no column."""
    rows = [
        {
            **{name: site.get(name) for name in ("path", "kind", "class", "group")},
            "rate at start": site.get("rate"),
            "rate at end": _last_rate(record, str(site.get("path"))),
            "read by forward": _READ.get(site.get("live")),
        }
        for site in record.sites
    ]
    names = list(rows[0]) if rows else []
    head = [name for name in names if any(row[name] is not None for row in rows)]
    return head, [[row[name] for name in head] for row in rows]


def _last_rate(record: Record, path: str) -> float | None:
    for row in reversed(record.rates):
        if path in row.sites:
            return row.sites[path]
    return None
