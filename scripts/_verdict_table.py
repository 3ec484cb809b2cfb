"""The tables of how often the verdict is right."""

import collections
import pathlib
from typing import Any

import _verdict_runs as runs
from _verdict_bands import bands, share

from thinned.metrics import VERDICTS, verdict
from thinned.metrics._verdict import CONFIDENT, LARGE_GAP
from thinned.metrics._verdict_words import LOOKS_HEALTHY

ROOT = pathlib.Path(__file__).parent.parent
BEGIN, END = "<!-- verdict: begin -->", "<!-- verdict: end -->"
PROBES = {"the whole training set": False, "a tenth of it (`probe=0.1`)": True}
DIRECTION = {"raise the rate": "raise", "lower the rate": "lower"}


def report(folder: pathlib.Path) -> None:
    """Judge the held-out runs and write the section of `docs/evidence/verdict.md`."""
    every = runs.read(folder / "held_out.jsonl")
    calibrated = len(runs.read(folder / "calibration.jsonl"))
    made = len((folder / "held_out.jsonl").read_text().splitlines())
    text = "\n".join([*_intro(every, calibrated, made - len(every)), *_tables(every)])
    target = ROOT / "docs/evidence/verdict.md"
    page = target.read_text() if target.exists() else f"{BEGIN}\n{END}\n"
    if BEGIN not in page:
        page = f"{page.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    target.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")
    print(text)


def _tables(every: list[dict[str, Any]]) -> list[str]:
    lines = []
    for name, wide in (("The plain runs", False), ("The wide runs", True)):
        chosen = [run for run in every if run["setting"]["wide"] == wide]
        if not chosen:
            continue
        true = [runs.true_word(run["found"]) for run in chosen]
        lines += ["", f"## {name}", "", _remedies(true)]
        for title, tenth in PROBES.items():
            said = [verdict(runs.history(run, tenth=tenth), "val_loss") for run in chosen]
            lines += ["", f"**Probe: {title}.**", "", *_figures(chosen, said, true)]
            lines += ["", *_confusion(said, true), "", _seldom(said, true)]
            if wide:
                lines += ["", *bands(chosen, said, true)]
    return lines


def _remedies(true: Any) -> str:
    counts = collections.Counter(remedy for _, remedy in true)
    return f"By remedy: {', '.join(f'{name} {n}' for name, n in counts.most_common())}."


def _figures(every: Any, said: Any, true: Any) -> list[str]:
    sure = [i for i, v in enumerate(said) if v.word != VERDICTS[0]]
    right = [i for i in sure if said[i].word == true[i][0]]
    clear = [i for i in sure if said[i].remedy]
    way = [i for i in clear if _way(said[i].remedy) == _way(true[i][1])]
    claims = [i for i in clear if _holds(said[i].remedy, every[i]["found"])]
    always = sum(word == "overfitting" for word, _ in true)
    always_sure = sum(true[i][0] == "overfitting" for i in sure)
    common = collections.Counter(word for word, _ in true).most_common(1)[0]
    baselines = {"overfitting": always, **dict([common])}
    return [
        "| | right | of | share |",
        "|---|---|---|---|",
        _row("confident: the word", len(right), len(sure)),
        _row("names a remedy: the rate's direction (raise, lower, keep)", len(way), len(clear)),
        _row("names a remedy: its claim is true (others may be too)", len(claims), len(clear)),
        _row("confident, out of all", len(sure), len(every)),
        _row('baseline: always "overfitting", same runs', always_sure, len(sure)),
        *(
            _row(f'baseline: always "{word}", all runs', count, len(every))
            for word, count in baselines.items()
        ),
    ]


def _row(name: str, count: int, of: int) -> str:
    return f"| {name} | {count} | {of} | {share(count, of)} |"


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


def _seldom(said: Any, true: Any) -> str:
    well = sum(word == "healthy" for word, _ in true)
    looks = [i for i, v in enumerate(said) if LOOKS_HEALTHY in v.evidence]
    right = sum(true[i][0] == "healthy" for i in looks)
    return (
        f"*It looks healthy* was in the evidence of {len(looks)} runs, and true of {right} "
        f"({share(right, len(looks))}); {well} runs were."
    )


def _intro(every: list[Any], calibrated: int, diverged: int) -> list[str]:
    wide = sum(run["setting"]["wide"] for run in every)
    text = INTRO.format(
        plain=len(every) - wide,
        wide=wide,
        calibrated=calibrated,
        diverged=diverged,
        seeds=runs.SEEDS,
        step=runs.STEP,
        margin=f"{runs.MARGIN:.0%}",
        confident=f"{CONFIDENT:.0%}",
        gap=f"{LARGE_GAP:.0%}",
    )
    return text.strip().splitlines()


INTRO = """
# Is the verdict right?

{plain} plain and {wide} wide runs that the calibration never saw: it had {calibrated} others, with
other settings and other splits. Each is a small network on a small part of digits, breast cancer,
wine or diabetes: 30 to 500 training samples, width 16 to 256, rate 0 to 0.85, labels clean or
noisy.

- **Plain**, the first that there were: an MLP with two hidden layers, Adam, learning rate 0.0003 or
  0.001, 60 to 600 steps, 4 to 50 validations.
- **Wide**: an MLP or, on digits, a small CNN; Adam or AdamW with a learning rate of 0.0003 to 0.03,
  or SGD with momentum and 0.003 to 0.03; 40 to 600 steps; 4 to 50 validations, below ten in
  more than half of the runs.

**Truth**, fixed before any verdict was computed: the run was made again with {seeds} seeds, as it
is, with the rate {step} higher, {step} lower, and for twice as long; half as long is part of it. A
change *helps* if it lowers final validation loss by at least {margin} on average and by at least
two paired standard errors. Raising helps, and more than lowering: overfitting, raise the rate. Else
lowering: over-regularized, lower the rate. Else longer: underfitting, train longer. Else shorter:
overfitting, train less. Else healthy, keep. Runs that diverged are left out ({diverged} more).

The verdict sees one history, of one seed. It is confident from {confident} on, and says "not enough
evidence" below, and instead of *over-regularized* with a gap above {gap} of validation's loss. The
word *overfitting* goes with two remedies; where neither of them reaches {confident}, no remedy is
named. *Healthy* is never the word, but a line of the evidence.

```text
scripts/evidence-verdict FOLDER              # the runs: an hour and a half of one core
scripts/evidence-verdict FOLDER --calibrate
scripts/evidence-verdict FOLDER --cross-validate
scripts/evidence-verdict FOLDER --report
```

What this does not show: larger networks and data sets, other architectures, rates and learning
rates that move, metrics other than a loss. The truth is about changes of {step} in the rate, and
about the last epoch, not the best one. Much of what is true of small runs is noise, hence the
margin.
"""
