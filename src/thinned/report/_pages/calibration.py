"""The two figures and the table of predictions from many masks beside plain ones."""

from typing import Any

from thinned.report._records.record import Record

from .figures import Figure, layout, line

#: Which scores stand where in the record, their colours, and their names for readers.
_LOOKS = (("plain", "@train", "one plain forward"), ("sampled", "@validation", "{} samples"))


def calibration_figures(record: Record) -> dict[str, tuple[Figure, str, str]]:
    """The figures that a test with many masks gives: the figure, its title, its text."""
    if record.calibration is None:
        return {}
    found = record.calibration
    rows = f"{found['rows']} rows of {found['stage']}"
    reliable = (
        f"How often the predicted class is right, by how sure the model says it is, over {rows}. "
        "Below the diagonal it is surer than right. A point stands for all rows of its bin."
    )
    selective = (
        f"The share of errors when only the surest rows are kept, over {rows}, by predictive "
        "entropy. The lower on the left, the better doubt tells errors."
    )
    return {
        "reliability": (_reliability(record), "As often right as sure?", reliable),
        "risk": (_risk(record), "Right where it is sure?", selective),
    }


def calibration_rows(record: Record) -> list[list[Any]]:
    """The scores as a table: ECE, NLL, Brier score and AURC of each."""
    if record.calibration is None:
        return []
    found = record.calibration
    keys = ("ece", "nll", "brier", "aurc")
    return [
        [_name(record, text), *(float(found[name][key]) for key in keys)]
        for name, _, text in _LOOKS
    ]


def _reliability(record: Record) -> Figure:
    lines = [line("as sure as right", [(0.0, 0.0), (1.0, 1.0)], "@muted", dash="dot")]
    lines[0]["mode"] = "lines"
    for name, colour, text in _LOOKS:
        bins = (record.calibration or {})[name]["bins"]
        points = [(confidence, accuracy) for rows, confidence, accuracy in bins if rows]
        lines.append(line(_name(record, text), points, colour))
    drawn = layout("confidence", "accuracy", hovermode="closest")
    drawn["xaxis"]["range"] = drawn["yaxis"]["range"] = [-0.02, 1.02]
    return {"data": lines, "layout": drawn}


def _risk(record: Record) -> Figure:
    lines = [
        line(_name(record, text), (record.calibration or {})[name]["curve"], colour)
        for name, colour, text in _LOOKS
    ]
    drawn = layout("share of rows that are kept", "share of errors")
    drawn["yaxis"]["rangemode"] = "tozero"
    return {"data": lines, "layout": drawn}


def _name(record: Record, text: str) -> str:
    return text.format((record.calibration or {})["samples"])
