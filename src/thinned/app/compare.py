"""``thinned compare``: which choice really lowered the validation metric, and how sure."""

from argparse import Namespace
from collections.abc import Sequence

from ._command import FAILED, OK, add_page_and_fail_on, guarded, parser, show

_EXAMPLES = (
    "thinned compare multirun/2026-11-21/10-00-00-123456-7",
    "thinned compare runs/a runs/b --metric val_acc --mode max --csv runs.csv",
    "thinned compare multirun/... --baseline none --fail-on 'no improvement'",
)


def main(argv: Sequence[str]) -> int:
    """Compare runs and return 0, 1 where ``--fail-on`` found something, 2 where asked wrongly."""
    what = "Compare any set of runs: by rate, schedule or variant, over their seeds."
    options = parser("compare", what, _EXAMPLES)
    options.add_argument("paths", nargs="+", metavar="DIR", help="folders that hold runs")
    options.add_argument("--metric", help="what is decided by; else what the runs monitored")
    options.add_argument("--mode", choices=("min", "max"), help="whether less or more is better")
    options.add_argument("--baseline", help="the choice to compare with: none, schedule=none")
    options.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="KEY",
        help="a setting that makes the groups; several with commas: schedule,seed",
    )
    options.add_argument(
        "--also", action="append", metavar="METRIC", help="a further metric to show"
    )
    options.add_argument("--csv", metavar="FILE", help="write one row a run")
    options.add_argument("--json", metavar="FILE", help="write conclusion, groups and runs")
    finds = f"exit with 1 on: 'no improvement', running; {FAILED}"
    add_page_and_fail_on(options, "where the page goes", finds)
    asked = options.parse_args(argv)
    return guarded(lambda: _run(asked))


def _run(asked: Namespace) -> int:
    from rich.console import Console
    from rich.text import Text

    from thinned.report import compare, exit_code, write_compare_page

    found = compare(
        asked.paths,
        metric=asked.metric,
        mode=asked.mode,
        baseline=asked.baseline,
        by=[key for each in asked.by for key in each.split(",") if key],
        metrics=asked.also,
    )
    code = exit_code(found, asked.fail_on) if asked.fail_on else OK
    table = found.table(Console().width)
    table.title = table.caption = None  # as lines of their own they are as wide as the terminal
    show(Text(found.conclusion, "bold"), *found.evidence, table, Text(found.action, "bold"))
    if asked.csv:
        show(f"runs: {found.to_csv(asked.csv)}")
    if asked.json:
        show(f"all of it: {found.to_json(asked.json)}")
    if not asked.no_page:
        show(f"page: {write_compare_page(found, asked.page)}")
    return code
