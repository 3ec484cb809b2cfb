"""The W&B workspace as a plain specification: sections, panels, what each shows.

The specification is ours, so that it can be written without network, kept under version control
and compared; `workspace` turns it into one of wandb-workspaces.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STEP = "trainer/global_step"


def build_dashboard(
    metric: str = "val_loss",
    *,
    groups: Sequence[str] = (),
    settings: Sequence[str] = (),
    title: str = "Does dropout work?",
) -> dict[str, Any]:
    """Describe the workspace that answers whether dropout works.

    Args:
        metric: the validation metric that is decided by.
        groups: names of the groups whose rates are drawn; without them all ``dropout/*/rate``.
        settings: dotted names of the configuration that a sweep varies (``"schedule.end"``).
        title: name of the view.

    Returns:
        Name and sections; each section has panels, each panel a ``kind``, a ``title`` and what it
        shows. `save_dashboard` writes it as JSON, `publish_dashboard` sends it to W&B.

    Example:
        >>> spec = build_dashboard("val_loss")
        >>> [section["name"] for section in spec["sections"]]
        ['Is it overfitting', 'Rates', 'Layers', 'Sweep']
    """
    sections = [
        {"name": "Is it overfitting", "panels": _overfitting(metric)},
        {"name": "Rates", "panels": _rates(groups)},
        {"name": "Layers", "panels": _layers()},
        {"name": "Sweep", "panels": _sweep(metric, settings)},
    ]
    return {"version": 1, "name": title, "step": STEP, "sections": sections}


def save_dashboard(spec: dict[str, Any], path: str | Path) -> Path:
    """Write the specification as JSON."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(spec, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _overfitting(metric: str) -> list[dict[str, Any]]:
    return [
        _lines("Probe against validation", [metric, f"overfit/probe/{metric}"]),
        _lines("Fair gap", [f"overfit/gap/{metric}"]),
        _lines("What dropout's own noise adds", [f"overfit/inflation/{metric}"]),
        _scalar("Gap now", f"overfit/gap/{metric}"),
        _scalar("Onset (epoch)", "overfit/onset"),
        _scalar("Verdict (0 to 4)", "overfit/verdict"),
        _lines("Generalization loss and progress", ["overfit/gl", "overfit/pq"]),
    ]


def _rates(groups: Sequence[str]) -> list[dict[str, Any]]:
    keys = [f"dropout/{group}/rate" for group in groups]
    shown: dict[str, Any] = {"metrics": keys} if keys else {"pattern": "dropout/.*/rate"}
    heat = {"kind": "media", "title": "Rate of every site", "metrics": ["dropout/heat"]}
    return [{"kind": "lines", "title": "Rate of each group", **shown}, heat]


def _layers() -> list[dict[str, Any]]:
    watched = "overfit/(co_adaptation|sparsity)/.*"
    return [
        {"kind": "table", "title": "Sites", "metrics": ["dropout/sites"]},
        {"kind": "lines", "title": "Co-adaptation and silent units", "pattern": watched},
    ]


def _sweep(metric: str, settings: Sequence[str]) -> list[dict[str, Any]]:
    gap = f"overfit/gap/{metric}"
    panels: list[dict[str, Any]] = [
        {
            "kind": "parallel",
            "title": "Settings to result",
            "settings": list(settings),
            "metrics": [gap, metric],
        },
        {"kind": "importance", "title": "What matters", "metrics": [metric]},
        {"kind": "scatter", "title": "Gap against loss", "x": gap, "metrics": [metric]},
    ]
    panels += [
        {"kind": "scatter", "title": f"{name} against loss", "setting": name, "metrics": [metric]}
        for name in settings
    ]
    return panels


def _lines(title: str, metrics: list[str]) -> dict[str, Any]:
    return {"kind": "lines", "title": title, "metrics": metrics}


def _scalar(title: str, metric: str) -> dict[str, Any]:
    return {"kind": "scalar", "title": title, "metrics": [metric]}
