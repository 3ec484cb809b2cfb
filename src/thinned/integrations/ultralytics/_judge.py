"""What the history of an Ultralytics training says: since when it overfits, and what to do."""

import dataclasses
from collections.abc import Sequence

from thinned.metrics import VERDICTS, Verdict, onset, verdict

MONITOR = "val/loss"  # the sum of the components, which are kept beside it
Row = dict[str, float]

#: The verdict was calibrated on small classifiers and regressions; a detector is another matter.
_ELSEWHERE = 0.9


def judged(history: Sequence[Row]) -> tuple[Row, Verdict]:
    """Return the onset of each component and the verdict on their sum.

    Args:
        history: a row an epoch, as `Attachment.history` holds them.

    Returns:
        What is logged (``overfit/onset/<component>`` where there is evidence for one, and
        ``overfit/verdict``), and the verdict itself.
    """
    row: Row = {}
    for key in components(history[-1]):
        rows = [each for each in history if key in each]
        since = onset([each[key] for each in rows], [int(each["epoch"]) for each in rows])
        if since is not None:
            row[f"overfit/onset/{key}"] = float(since.epoch)
    said = verdict(history, MONITOR, "min")
    said = dataclasses.replace(
        said,
        confidence=said.confidence * _ELSEWHERE,
        action=_action(said, history[-1]["rate"]),
    )
    row["overfit/verdict"] = float(VERDICTS.index(said.word))
    return row, said


def components(row: Row) -> list[str]:
    """Return the keys of the validation losses in a row, their sum last."""
    return [key for key in row if key.startswith("val/")]


def described(history: Sequence[Row], said: Verdict | None) -> list[str]:
    """Say what was measured, a line a component, and the verdict."""
    if not history or said is None:
        return ["nothing measured yet"]
    last = history[-1]
    lines = [f"{said.word} (confidence {said.confidence:.0%}). {said.action}", *said.evidence]
    for key in components(last):
        since = last.get(f"overfit/onset/{key}")
        rises = "" if since is None else f", rising since epoch {since + 1:.0f}"
        lines.append(
            f"{key}: {last[key]:.4g}, on training images {last[f'overfit/probe/{key}']:.4g}, "
            f"gap {last[f'overfit/gap/{key}']:+.4g}{rises}"
        )
    return lines


def _action(said: Verdict, rate: float) -> str:
    """Turn the advice into a call that an Ultralytics user can paste."""
    if said.remedy == "raise the rate":
        return f"Try attach(model, dropout={min(rate + 0.1, 0.5):.2g})"
    if said.remedy == "lower the rate":
        return f"Try attach(model, dropout={rate / 2:.2g})"
    if said.remedy == "train longer":
        return "Try train(epochs=...) with more epochs"
    if said.remedy == "train less":
        return "Try train(patience=...), or fewer epochs"
    return "Nothing to change" if said.remedy == "keep" else "Train on, or compare two rates"
