"""``thinned dashboard``: a Weights & Biases workspace of the curves, as code."""

from argparse import Namespace
from collections.abc import Sequence

from ._command import OK, guarded, parser, show

_EXAMPLES = (
    "thinned dashboard --out dashboard.json",
    "thinned dashboard --entity my-team --project thinned --setting schedule.end",
)


def main(argv: Sequence[str]) -> int:
    """Write or publish the workspace and return 0, or 2 where asked wrongly."""
    what = "Build the workspace that answers whether dropout works; with --entity, publish it."
    options = parser("dashboard", what, _EXAMPLES)
    options.add_argument("--metric", default="val_loss", help="what is decided by")
    options.add_argument(
        "--group", action="append", default=[], metavar="NAME", help="a group whose rate is drawn"
    )
    options.add_argument(
        "--setting", action="append", default=[], metavar="KEY", help="a setting of the sweep"
    )
    options.add_argument(
        "--out", default="dashboard.json", metavar="FILE", help="the specification"
    )
    options.add_argument("--entity", help="user or team; needs the network")
    options.add_argument("--project", default="thinned", help="W&B's project")
    asked = options.parse_args(argv)
    return guarded(lambda: _run(asked))


def _run(asked: Namespace) -> int:
    from thinned.report import build_dashboard, publish_dashboard, save_dashboard

    spec = build_dashboard(asked.metric, groups=asked.group, settings=asked.setting)
    show(f"specification: {save_dashboard(spec, asked.out)}")
    if asked.entity:
        show(f"workspace: {publish_dashboard(spec, asked.entity, asked.project)}")
    return OK
