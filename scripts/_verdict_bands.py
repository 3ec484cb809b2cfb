"""How often the confident words are right by learning rate, optimizer, network and validations."""

from collections.abc import Callable, Sequence
from typing import Any

from thinned.metrics import VERDICTS

Run = dict[str, Any]
BANDS: dict[str, Callable[[Run], bool]] = {
    "learning rate up to 0.001": lambda run: run["setting"]["lr"] <= 1e-3,
    "0.003": lambda run: run["setting"]["lr"] == 3e-3,
    "0.01": lambda run: run["setting"]["lr"] == 1e-2,
    "0.03": lambda run: run["setting"]["lr"] == 3e-2,
    "Adam": lambda run: run["setting"]["optimizer"] == "adam",
    "AdamW": lambda run: run["setting"]["optimizer"] == "adamw",
    "SGD with momentum": lambda run: run["setting"]["optimizer"] == "sgd",
    "MLP": lambda run: run["setting"]["net"] == "mlp",
    "CNN": lambda run: run["setting"]["net"] == "cnn",
    "4 or 5 validations": lambda run: len(run["history"]) <= 5,
    "6 to 9": lambda run: 6 <= len(run["history"]) <= 9,
    "10 to 19": lambda run: 10 <= len(run["history"]) <= 19,
    "20 and more": lambda run: len(run["history"]) >= 20,
    "at 0.01 and more, below 10 validations": lambda run: (
        run["setting"]["lr"] >= 1e-2 and len(run["history"]) < 10
    ),
}


def share(count: int, of: int) -> str:
    """Write a share with its standard error."""
    if not of:
        return ""
    part = count / of
    return f"{part:.1%} ± {(part * (1 - part) / of) ** 0.5:.1%}"


def bands(every: Sequence[Run], said: Sequence[Any], true: Sequence[tuple[str, str]]) -> list[str]:
    """Return a table with one row for each band that has runs."""
    lines = [
        "| | runs | confident | right | share | mean confidence |",
        "|---|---|---|---|---|---|",
    ]
    for name, within in BANDS.items():
        chosen = [i for i, run in enumerate(every) if within(run)]
        sure = [i for i in chosen if said[i].word != VERDICTS[0]]
        right = sum(said[i].word == true[i][0] for i in sure)
        if chosen:
            claimed = f"{sum(said[i].confidence for i in sure) / len(sure):.0%}" if sure else ""
            numbers = f"{len(chosen)} | {len(sure)} | {right} | {share(right, len(sure))}"
            lines.append(f"| {name} | {numbers} | {claimed} |")
    return lines
