"""The calibration of the verdict: its weights, from one part of the runs."""

import pathlib
import random
from typing import Any

import _verdict_runs as runs
import numpy as np
from _verdict_bands import share
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from thinned.metrics import VERDICTS, _verdict, verdict
from thinned.metrics._verdict_features import NAMES, features

C = 0.1  # how little the weights are held back: by cross-validation within the calibration
FOLDS = 10
ROOT = pathlib.Path(__file__).parent.parent


def calibrate(path: pathlib.Path) -> None:
    """Fit the weights, and write `_verdict_weights.py`."""
    every = runs.read(path)
    target = ROOT / "src/thinned/metrics/_verdict_weights.py"
    head = (
        '"""Weights of the verdict, by `scripts/evidence-verdict --calibrate`; not by hand.\n\n'
        f'{len(every)} runs. First the bias, then one weight for each of `Features.numbers`.\n"""\n'
    )
    parts = [_as_code(name, weights) for name, weights in _fit(every).items()]
    target.write_text(head + "\n" + "\n\n".join(parts) + "\n")
    print(f"{len(every)} runs -> {target}")


def cross_validate(path: pathlib.Path) -> None:
    """Print how often the verdict is right on the calibration's own runs, each left out once."""
    every = runs.read(path)
    random.Random(0).shuffle(every)
    said: dict[str, list[tuple[bool, float]]] = {}
    for fold in range(FOLDS):
        weights = _fit([run for i, run in enumerate(every) if i % FOLDS != fold])
        _verdict.WEIGHTS, _verdict.WEIGHTS_WITHOUT_NOISE = weights.values()
        for run in every[fold::FOLDS]:
            kind = "wide" if run["setting"]["wide"] else "plain"
            seed = run["setting"]["split"] // 100_000
            word, _ = runs.true_word(run["found"])
            for tenth in (False, True):
                of = f"{kind}, seed {seed}, {'a tenth' if tenth else 'all'}"
                found = verdict(runs.history(run, tenth=tenth), "val_loss")
                if found.word != VERDICTS[0]:
                    said.setdefault(of, []).append((found.word == word, found.confidence))
    print("| runs, probe | right | confident | share | mean confidence |\n|---|---|---|---|---|")
    for of, given in sorted(said.items()):
        right, mean = sum(r for r, _ in given), sum(c for _, c in given) / len(given)
        print(f"| {of} | {right} | {len(given)} | {share(right, len(given))} | {mean:.0%} |")


def _fit(every: list[dict[str, Any]]) -> dict[str, dict[str, tuple[float, ...]]]:
    """The weights with and without noise, on probes of both sizes; the bias comes first."""
    found = [
        (seen.numbers(), runs.true_word(run["found"])[1])
        for run in every
        for tenth in (False, True)
        if (seen := features(runs.history(run, tenth=tenth), "val_loss"))
    ]
    weights = {}
    for name, first in (("WEIGHTS", 0), ("WEIGHTS_WITHOUT_NOISE", 1)):
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=5000))
        fitted.fit(np.array([numbers[first:] for numbers, _ in found]), [w for _, w in found])
        scale, model = fitted[0], fitted[1]
        own = model.coef_ / scale.scale_
        biases = model.intercept_ - own @ scale.mean_
        weights[name] = {
            remedy: (float(bias), *map(float, row))
            for remedy, bias, row in zip(model.classes_, biases, own, strict=True)
        }
    return weights


def _as_code(name: str, weights: dict[str, tuple[float, ...]]) -> str:
    (size, *_) = map(len, weights.values())
    names = NAMES[len(NAMES) + 1 - size :]
    lines = [f"# bias, {', '.join(names[:7])},", f"# {', '.join(names[7:])}", f"{name} = {{"]
    for remedy, own in weights.items():
        numbers = [f"{n:.3f}" for n in own]
        lines += [f'    "{remedy}": (', f"        *({', '.join(numbers[:8])}),"]
        lines += [f"        *({', '.join(numbers[8:])}),", "    ),"]
    return "\n".join([*lines, "}"])
