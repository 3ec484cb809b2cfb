"""What the monitor found, as text, as a picture, and as text in loggers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from thinned._log import logger
from thinned.callbacks._lightning.trainer import all_callbacks
from thinned.metrics._verdict import VERDICTS, Verdict
from thinned.schedules._base import pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FIGURES = (
    ("validation", "{0}"),
    ("probe (training data, dropout off)", "overfit/probe/{0}"),
    ("gap", "overfit/gap/{0}"),
    ("ratio", "overfit/ratio/{0}"),
    ("inflation (what dropout's noise adds)", "overfit/inflation/{0}"),
    ("generalization loss, %", "overfit/gl"),
)


def in_words(verdict: Verdict) -> str:
    """Return a verdict in one line."""
    if verdict.word == VERDICTS[0]:
        return f"{verdict.word}: {verdict.evidence[-1]} {verdict.action}"
    return f"{verdict.word} (confidence {verdict.confidence:.0%}). {verdict.action}"


def summary(
    history: Sequence[Mapping[str, Any]], monitor: str | None, verdict: Verdict | None
) -> str:
    """Return the verdict with its reasons, and the latest figures."""
    if not history or monitor is None:
        return "Nothing was measured yet."
    last = history[-1]
    lines = [f"{monitor}, epoch {last['epoch']}, {len(history)} validations"]
    for name, pattern in _FIGURES:
        value = last.get(pattern.format(monitor))
        if value is not None:
            lines.append(f"  {name:<38} {value:.5g}")
    if verdict is not None:
        lines.append(f"verdict: {verdict}")
    return "\n".join(lines)


def plot(
    history: Sequence[Mapping[str, Any]], monitor: str | None, ax: "Axes | None" = None
) -> "tuple[Figure, Axes]":
    """Draw validation and probe over epochs, the gap between them, and the onset."""
    if not history or monitor is None:
        msg = "Expected a history to draw, got none: train with the monitor first."
        raise ValueError(msg)
    if ax is None:
        _, ax = pyplot().subplots()
    figure = ax.get_figure(root=True)
    if figure is None:
        msg = "Expected `ax` to be in a figure, got one that was removed."
        raise ValueError(msg)
    own = f"overfit/probe/{monitor}"
    rows = [r for r in history if monitor in r and own in r]
    epochs = [r["epoch"] for r in rows]
    validation, probe = [r[monitor] for r in rows], [r[own] for r in rows]
    ax.plot(epochs, validation, label="validation")
    ax.plot(epochs, probe, label="probe (training data, dropout off)")
    ax.fill_between(epochs, probe, validation, alpha=0.15, label="gap")
    since = next((r["overfit/onset"] for r in reversed(history) if "overfit/onset" in r), None)
    if since is not None:
        ax.axvline(since, linestyle="--", color="grey", label=f"onset: epoch {since:.0f}")
    ax.set(xlabel="epoch", ylabel=monitor)
    ax.legend()
    return figure, ax


def tell(trainer: Any, verdict: Verdict) -> None:
    """Give the verdict to the loggers; and to the user, unless a run record's summary holds it."""
    _send_text(trainer, verdict)
    if not any(getattr(each, "summary", None) is True for each in all_callbacks(trainer)):
        logger.info("%s", in_words(verdict))


def _send_text(trainer: Any, verdict: Verdict) -> None:
    """Give the verdict to loggers that take text: TensorBoard and W&B. None may stop the run."""
    words = "\n".join([in_words(verdict), *(f"- {reason}" for reason in verdict.evidence)])
    for sink in trainer.loggers:
        try:
            experiment = sink.experiment
            if hasattr(experiment, "add_text"):
                experiment.add_text("overfit/verdict", words, trainer.global_step)
            elif hasattr(experiment, "summary") and hasattr(experiment.summary, "update"):
                experiment.summary.update({"overfit/verdict_text": words})
        except Exception as error:  # a report must not kill a run
            logger.warning("%s did not take the verdict: %s", type(sink).__name__, error)
