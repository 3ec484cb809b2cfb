"""The calibration of the verdict: its weights, from one half of the runs."""

import pathlib
from typing import Any

import _verdict_runs as runs
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from thinned.metrics._verdict_features import NAMES, features

C = 0.1  # how little the weights are held back: by cross-validation within the calibration
ROOT = pathlib.Path(__file__).parent.parent


def calibrate(path: pathlib.Path) -> None:
    """Fit the weights, on probes of both sizes, and write `_verdict_weights.py`."""
    every = runs.read(path)
    parts = []
    for name, noise in (("WEIGHTS", True), ("WEIGHTS_WITHOUT_NOISE", False)):
        numbers, wanted = [], []
        for run in every:
            for tenth in (False, True):
                found = features(runs.history(run, tenth=tenth), "val_loss")
                if found is None:
                    continue
                numbers.append(found.numbers()[0 if noise else 1 :])
                wanted.append(runs.true_word(run["found"])[1])
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=5000))
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
    lines = [f"# bias, {', '.join(names[:7])},", f"# {', '.join(names[7:])}", f"{name} = {{"]
    for remedy, bias, own in zip(classes, biases, weights, strict=True):
        numbers = [f"{n:.3f}" for n in (bias, *own)]
        lines += [f'    "{remedy}": (', f"        *({', '.join(numbers[:8])}),"]
        lines += [f"        *({', '.join(numbers[8:])}),", "    ),"]
    return "\n".join([*lines, "}"])
