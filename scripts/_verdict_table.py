"""The calibration of the verdict, and the table of how often it is right."""

import collections
import json
import pathlib
from typing import Any

import _verdict_runs as runs
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from thinned.metrics import VERDICTS, verdict
from thinned.metrics._verdict import CONFIDENT, LARGE_GAP, WORDS
from thinned.metrics._verdict_features import NAMES, features

ROOT = pathlib.Path(__file__).parent.parent
REMEDIES = tuple(WORDS)
BEGIN, END = "<!-- verdict: begin -->", "<!-- verdict: end -->"
DIRECTION = {"raise the rate": "raise", "lower the rate": "lower"}


def history(run: dict[str, Any], *, tenth: bool = False) -> list[dict[str, Any]]:
    """A run's rows as the monitor gives them: of all training samples, or of a tenth of them."""
    rows = []
    for row in run["history"]:
        probe, added = row["overfit/probe/val_loss"], row["overfit/inflation/val_loss"]
        if tenth:
            probe, added = row["tenth"], row["tenth_noisy"] - row["tenth"]
        rows.append(
            {
                "epoch": row["epoch"],
                "val_loss": row["val_loss"],
                "rate": run["setting"]["rate"],
                "overfit/probe/val_loss": probe,
                "overfit/inflation/val_loss": added,
            }
        )
    return rows


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read the runs of one half."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def calibrate(path: pathlib.Path) -> None:
    """Fit the weights, on probes of both sizes, and write `_verdict_weights.py`."""
    every = read(path)
    parts = []
    for name, noise in (("WEIGHTS", True), ("WEIGHTS_WITHOUT_NOISE", False)):
        numbers, wanted = [], []
        for run in every:
            for tenth in (False, True):
                found = features(history(run, tenth=tenth), "val_loss")
                if found is None:
                    continue
                numbers.append(found.numbers()[0 if noise else 1 :])
                wanted.append(runs.true_word(run["found"])[1])
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=5000))
        fitted.fit(np.array(numbers), wanted)
        parts.append(_as_code(name, *_unscaled(fitted), NAMES if noise else NAMES[1:]))
    target = ROOT / "src/thinned/metrics/_verdict_weights.py"
    head = (
        '"""Weights of the verdict, by `scripts/evidence-verdict --calibrate`; not by hand.\n\n'
        f'{len(every)} runs. First the bias, then one weight for each of `Features.numbers`.\n"""\n'
    )
    target.write_text(head + "\n" + "\n\n".join(parts) + "\n")
    print(f"{len(every)} runs -> {target}")


def _unscaled(fitted: Any) -> tuple[Any, Any, Any]:
    scale, model = fitted[0], fitted[1]
    weights = model.coef_ / scale.scale_
    return model.classes_, model.intercept_ - weights @ scale.mean_, weights


def _as_code(name: str, classes: Any, biases: Any, weights: Any, names: Any) -> str:
    lines = [f"{name} = {{  # bias, {', '.join(names)}"]
    for remedy, bias, own in zip(classes, biases, weights, strict=True):
        numbers = ", ".join(f"{n:.3f}" for n in (bias, *own))
        lines.append(f'    "{remedy}": ({numbers}),')
    return "\n".join([*lines, "}"])


def report(folder: pathlib.Path) -> None:
    """Judge the held-out runs and write the section of `docs/evidence/verdict.md`."""
    every = read(folder / "held_out.jsonl")
    text = "\n".join([*_intro(every, len(read(folder / "calibration.jsonl"))), *_tables(every)])
    target = ROOT / "docs/evidence/verdict.md"
    page = target.read_text() if target.exists() else f"{BEGIN}\n{END}\n"
    if BEGIN not in page:
        page = f"{page.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    target.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")
    print(text)


def _tables(every: list[dict[str, Any]]) -> list[str]:
    lines = []
    for title, tenth in (("the whole training set", False), ("a tenth of it (`probe=0.1`)", True)):
        said = [verdict(history(run, tenth=tenth), "val_loss") for run in every]
        true = [runs.true_word(run["found"]) for run in every]
        lines += ["", f"**Probe: {title}.**", "", *_figures(every, said, true)]
        if not tenth:
            lines += ["", *_confusion(said, true), "", *_seldom(said, true)]
    return lines


def _figures(every: Any, said: Any, true: Any) -> list[str]:
    sure = [i for i, v in enumerate(said) if v.confidence >= CONFIDENT]
    right = [i for i in sure if said[i].word == true[i][0]]
    clear = [i for i in sure if said[i].remedy]
    way = [i for i in clear if _way(said[i].remedy) == _way(true[i][1])]
    claims = [i for i in clear if _holds(said[i].remedy, every[i]["found"])]
    always = sum(word == "overfitting" for word, _ in true)
    always_sure = sum(true[i][0] == "overfitting" for i in sure)
    common = collections.Counter(word for word, _ in true).most_common(1)[0]
    return [
        "| | right | of | share |",
        "|---|---|---|---|",
        _row("confident: the word", len(right), len(sure)),
        _row("names a remedy: the rate's direction (raise, lower, keep)", len(way), len(clear)),
        _row("names a remedy: its claim is true (others may be too)", len(claims), len(clear)),
        _row("confident, out of all", len(sure), len(every)),
        _row('baseline: always "overfitting", same runs', always_sure, len(sure)),
        _row('baseline: always "overfitting", all runs', always, len(every)),
        _row(f'baseline: always "{common[0]}", all runs', common[1], len(every)),
    ]


def _row(name: str, count: int, of: int) -> str:
    if not of:
        return f"| {name} | {count} | {of} | |"
    share = count / of
    error = (share * (1 - share) / of) ** 0.5
    return f"| {name} | {count} | {of} | {share:.1%} ± {error:.1%} |"


def _way(remedy: str) -> str:
    return DIRECTION.get(remedy, "keep")


def _holds(remedy: str, found: dict[str, list[float]]) -> bool:
    changes = {
        "raise the rate": "raised",
        "lower the rate": "lowered",
        "train longer": "longer",
        "train less": "half",
    }
    if remedy in changes:
        return runs.helps(found, changes[remedy]) > 0.0
    return not any(runs.helps(found, change) for change in ("raised", "lowered"))


def _confusion(said: Any, true: Any) -> list[str]:
    count = collections.Counter((t[0], v.word) for t, v in zip(true, said, strict=True))
    columns = [*VERDICTS[1:], VERDICTS[0]]
    lines = [f"| truth \\ verdict | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [
        f"| {word} | {' | '.join(str(count[word, c]) for c in columns)} |" for word in VERDICTS[1:]
    ]
    return lines


def _seldom(said: Any, true: Any) -> list[str]:
    well = sum(word == "healthy" for word, _ in true)
    count = sum(v.word == "healthy" for v in said)
    return [
        f"*Healthy* was said {count} times, of {well} runs that were: that no change would help is",
        "hard to see in one run, and the verdict abstains.",
    ]


def _intro(every: list[Any], calibrated: int) -> list[str]:
    true = collections.Counter(runs.true_word(run["found"])[1] for run in every)
    kinds = ", ".join(f"{name} {n}" for name, n in true.most_common())
    text = INTRO.format(
        held_out=len(every),
        calibrated=calibrated,
        seeds=runs.SEEDS,
        step=runs.STEP,
        margin=f"{runs.MARGIN:.0%}",
        kinds=kinds,
        confident=f"{CONFIDENT:.0%}",
        gap=f"{LARGE_GAP:.0%}",
    )
    return text.strip().splitlines()


INTRO = """
# Is the verdict right?

{held_out} runs that the calibration never saw (it had {calibrated} others, with other settings and
other splits). Each is an MLP with two hidden layers on a small part of digits, breast cancer, wine
or diabetes: 30 to 500 training samples, width 16 to 256, rate 0 to 0.85, labels clean or noisy, 60
to 600 steps.

**Truth**, fixed before any verdict was computed: the run was made again with {seeds} seeds, as it
is, with the rate {step} higher, {step} lower, and for twice as long; half as long is part of it. A
change *helps* if it lowers final validation loss by at least {margin} on average and by at least
two paired standard errors. Raising helps, and more than lowering: overfitting, raise the rate. Else
lowering: over-regularized, lower the rate. Else longer: underfitting, train longer. Else shorter:
overfitting, train less. Else healthy, keep. The held-out runs by remedy: {kinds}.

The verdict sees one history, of one seed. It is confident from {confident} on, and says "not enough
evidence" below, and instead of *over-regularized* with a gap above {gap} of validation's loss. The
word *overfitting* goes with two remedies; where neither of them reaches {confident}, no remedy is
named.

```text
scripts/evidence-verdict FOLDER              # the runs: half an hour of one idle core, in pieces
scripts/evidence-verdict FOLDER --calibrate
scripts/evidence-verdict FOLDER --report
```

What this does not show: larger networks and data sets, other architectures and optimizers,
learning rates above 0.001 (there, with fewer than nine validations, it was less often right), rates
that move, metrics other than a loss. The truth is about changes of {step} in the rate, and about
the last epoch, not the best one. Much of what is true of small runs is noise, hence the margin.
"""
