"""Turns the dashboard's specification into a workspace of wandb-workspaces, and saves it."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

WIDTH, HEIGHT, COLUMNS = 8, 6, 3


def publish_dashboard(spec: Mapping[str, Any], entity: str, project: str) -> str:
    """Save the workspace in a W&B project; needs the network.

    Returns:
        The address of the view.
    """
    saved = to_workspace(spec, entity, project)
    saved.save()
    return str(saved.url)


def to_workspace(spec: Mapping[str, Any], entity: str, project: str) -> Any:
    """Build the workspace, without network.

    Args:
        spec: what `build_dashboard` returned.
        entity: the user or team that owns the project.
        project: the project.

    Raises:
        ValueError: if the specification names a panel of an unknown kind.
    """
    workspaces, reports = _packages()
    sections = [
        workspaces.Section(
            name=section["name"],
            is_open=True,
            panels=[
                _panel(reports, spec["step"], panel, place)
                for place, panel in enumerate(section["panels"])
            ],
        )
        for section in spec["sections"]
    ]
    return workspaces.Workspace(
        entity=entity, project=project, name=spec["name"], sections=sections
    )


def _packages() -> tuple[Any, Any]:
    try:
        with warnings.catch_warnings():  # its own use of pydantic is deprecated
            warnings.simplefilter("ignore", DeprecationWarning)
            import wandb_workspaces.reports.v2 as reports
            import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        msg = "The W&B workspace needs a package: pip install 'thinned[dashboard]'"
        raise ImportError(msg) from error
    return workspaces, reports


def _panel(reports: Any, step: str, panel: Mapping[str, Any], place: int) -> Any:
    kind = panel["kind"]
    if kind not in _KINDS:
        known = ", ".join(_KINDS)
        msg = f"Expected a panel's `kind` to be one of {known}, got {kind!r}."
        raise ValueError(msg)
    made = _KINDS[kind](reports, step, panel)
    made.layout = reports.Layout(
        x=place % COLUMNS * WIDTH, y=place // COLUMNS * HEIGHT, w=WIDTH, h=HEIGHT
    )
    return made


def _lines(reports: Any, step: str, panel: Mapping[str, Any]) -> Any:
    if "pattern" in panel:
        return reports.LinePlot(title=panel["title"], x=step, metric_regex=panel["pattern"])
    return reports.LinePlot(title=panel["title"], x=step, y=list(panel["metrics"]))


def _scalar(reports: Any, _: str, panel: Mapping[str, Any]) -> Any:
    return reports.ScalarChart(title=panel["title"], metric=panel["metrics"][0])


def _media(reports: Any, _: str, panel: Mapping[str, Any]) -> Any:
    return reports.MediaBrowser(title=panel["title"], media_keys=list(panel["metrics"]))


def _table(reports: Any, _: str, panel: Mapping[str, Any]) -> Any:
    return reports.WeavePanelSummaryTable(table_name=panel["metrics"][0])


def _parallel(reports: Any, _: str, panel: Mapping[str, Any]) -> Any:
    settings = [reports.Config(name) for name in panel["settings"]]
    metrics = [reports.SummaryMetric(name) for name in panel["metrics"]]
    columns = [reports.ParallelCoordinatesPlotColumn(metric=each) for each in settings + metrics]
    return reports.ParallelCoordinatesPlot(title=panel["title"], columns=columns)


def _importance(reports: Any, _: str, panel: Mapping[str, Any]) -> Any:
    return reports.ParameterImportancePlot(with_respect_to=panel["metrics"][0])


def _scatter(reports: Any, _: str, panel: Mapping[str, Any]) -> Any:
    setting = panel.get("setting")
    x = reports.Config(setting) if setting else reports.SummaryMetric(panel["x"])
    y = reports.SummaryMetric(panel["metrics"][0])
    return reports.ScatterPlot(title=panel["title"], x=x, y=y)


_KINDS: dict[str, Callable[[Any, str, Mapping[str, Any]], Any]] = {
    "lines": _lines,
    "scalar": _scalar,
    "media": _media,
    "table": _table,
    "parallel": _parallel,
    "importance": _importance,
    "scatter": _scatter,
}
