"""The first table of docs/evidence/adaptive.md: a row a set, from the page's other tables."""

import re

SETS = {
    "ten": "the [ten](#results)",
    "adamw": "the ten with [AdamW](#other-optimizers)",
    "sgd": "the ten with [SGD](#other-optimizers)",
    "stopping": "the ten, ended by [early stopping](#early-stopping)",
    "more-validation": "like the ten, [200 validation examples](#what-limits-it)",
    "fresh": "[drawn at random](#tasks-drawn-at-random)",
    "families": "[other networks](#other-networks)",
    "recurrent": "[recurrent networks](#recurrent-networks)",
    "tuning": "[fine-tuning](#fine-tuning)",
    "numbers": "[numbers](#numbers), the start chosen on them",
    "fresh-numbers": "[numbers drawn at random](#numbers-drawn-at-random)",
}
OURS, SWEEP = "`AdaptiveDropout()`", "sweep by validation"
COLUMNS = {  # methods as the page names them, and as the summary does
    OURS: "ours",
    SWEEP: "sweep",
    "constant 0.50": "0.5",
    "constant 0.00": "no dropout",
}


def summarized(page: str) -> str:
    """Return the page with the summary of its tables."""
    head = ["tasks", "number", *COLUMNS.values(), "ours within", "sweep", "worse than none"]
    rows = [head, ["---"] * len(head)]
    for kind, words in SETS.items():
        found = _methods(page, kind)
        ours, sweep = found[OURS], found[SWEEP]
        within, count = ours["within 1 SE"].split(" of ")
        regrets = [found[name]["mean regret, final"] for name in COLUMNS]
        swept = sweep["within 1 SE"].split(" of ")[0]
        rows.append([words, count, *regrets, within, swept, ours["worse than none"]])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows).replace("| --- ", "|---")
    return with_table(page, "summary", table)


def with_table(page: str, name: str, table: str) -> str:
    """Return the page with another table between the marks of that name, if it has them."""
    return _between(name).sub(lambda m: f"{m[1]}{table}\n{m[3]}", page)


def _methods(page: str, kind: str) -> dict[str, dict[str, str]]:
    """The table of methods of a set of tasks: its rows by method, their cells by column."""
    table = _between(kind).search(page)
    if table is None:
        raise LookupError(f"The page has no table {kind!r}.")
    head, _, *rows = [line.strip("| ").split(" | ") for line in table[2].splitlines()]
    found = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    return {SWEEP if "chosen by validation" in name else name: found[name] for name in found}


def _between(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- end -->)", re.DOTALL)
