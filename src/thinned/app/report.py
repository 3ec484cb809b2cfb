"""``thinned report``: the page of a run, and what it says in a few lines."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ._command import FAILED, OK, add_page_and_fail_on, guarded, parser, show

_EXAMPLES = (
    "thinned report runs/2026-11-21/10-00-00-123456-7",
    "thinned report lightning_logs/version_0 --fail-on overfitting",
)


def main(argv: Sequence[str]) -> int:
    """Write pages and return 0, 1 where ``--fail-on`` found something, 2 where asked wrongly."""
    what = "Write the page of each run; also of runs that only a CSV or TensorBoard logger saw."
    options = parser("report", what, _EXAMPLES)
    options.add_argument("paths", nargs="+", metavar="DIR", help="a run's folder, or one of many")
    finds = f"exit with 1 on a verdict (overfitting, ...) or on running; {FAILED}"
    add_page_and_fail_on(options, "where the page goes, of a single run", finds)
    asked = options.parse_args(argv)
    return guarded(lambda: _run(asked))


def _run(asked: Namespace) -> int:
    from thinned.report import exit_code, find_records, read_run, summary, write_page

    folders = find_records(asked.paths) or [Path(path) for path in asked.paths]
    if asked.page and len(folders) > 1:
        msg = f"Expected one run with --page, got {len(folders)}. Leave --page away."
        raise ValueError(msg)
    code = OK
    for folder in folders:
        record = read_run(folder)
        code = max(code, exit_code(record, asked.fail_on) if asked.fail_on else OK)
        page = None if asked.no_page else write_page(record, asked.page)
        show(summary(record, page))
    return code
