"""What `insert` does to models that nobody here wrote: run by scripts/insert-census."""

import argparse
import copy
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torchvision_ops
import zoo
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import thinned


@dataclass
class Finding:
    """What was seen on one model.

    Attributes:
        name: library and model.
        changes: how many places got a layer, by the class of the layer.
        fired: how many of those layers ran in a training step.
        left_out: how many places were listed as left out.
        broken: what did not hold; empty where all does.
        note: why nothing could be inserted or trained, if so.
    """

    name: str
    changes: dict[str, int] = field(default_factory=dict)
    fired: int = 0
    left_out: int = 0
    broken: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def inserted(self) -> int:
        """How many layers were inserted."""
        return sum(self.changes.values())


def call(model: nn.Module, given: Any) -> list[Tensor]:
    """Run the model; return the floating tensors it returned."""
    if isinstance(given, dict):
        out = model(**given)
    else:
        out = model(*given) if isinstance(given, tuple) else model(given)
    leaves = tree_leaves(dict(out) if hasattr(out, "to_tuple") else out)
    return [t for t in leaves if isinstance(t, Tensor) and t.is_floating_point()]


def evaluate(model: nn.Module, given: Any) -> list[Tensor]:
    """Return what the model says in evaluation mode, from a fixed seed."""
    model.eval()
    torch.manual_seed(1)
    with torch.no_grad():
        return [t.clone() for t in call(model, given)]


def train_step(model: nn.Module, given: Any, *, bfloat16: bool = False) -> None:
    """Take one step of SGD."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        loss = sum(t.float().square().mean() for t in call(model, given) if t.requires_grad)
    loss.backward()
    optimizer.step()


def examine(name: str, build: Callable[[], zoo.Built], variant: Any = "auto") -> Finding:
    """Insert, compare, train, undo, and say what did not hold."""
    found = Finding(name)
    torch.manual_seed(0)
    try:
        model, given = build()
    except Exception as error:
        found.note = f"is not built: {type(error).__name__}: {str(error)[:60]}"
        return found
    plain = copy.deepcopy(model)
    keys = list(model.state_dict())
    modules = [(path, id(module)) for path, module in model.named_modules()]
    hooks = [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in model.modules()]
    try:
        before = evaluate(model, given)
    except Exception as error:
        found.note = f"does not run without us: {type(error).__name__}: {str(error)[:60]}"
        return found
    model.train()
    state = torch.get_rng_state()
    try:
        edit = thinned.insert(model, variant, 0.2, example_input=given)
    except thinned.NoEffectError as error:
        found.note = str(error).splitlines()[0]
        return found
    if not torch.equal(state, torch.get_rng_state()):
        found.broken.append("the generator moved")
    found.left_out = len(edit.left_out)
    for site in edit.sites:
        kind = type(getattr(site.owner, "layer", site.owner)).__name__
        found.changes[kind] = found.changes.get(kind, 0) + 1
    if len(edit.sites) != len(edit):
        found.broken.append(f"{len(edit)} changes, but {len(edit.sites)} sites")
    if list(model.state_dict()) != keys:
        found.broken.append("keys moved")
    if not same(evaluate(model, given), before):
        found.broken.append("the evaluation differs")
    model.load_state_dict(plain.state_dict())
    plain.load_state_dict(model.state_dict())
    _train(found, model, plain, edit, given)
    edit.undo()
    if [(path, id(module)) for path, module in model.named_modules()] != modules:
        found.broken.append("undo left other modules")
    if [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in model.modules()] != hooks:
        found.broken.append("undo left a hook")
    if list(model.state_dict()) != keys:
        found.broken.append("undo moved keys")
    plain.load_state_dict(model.state_dict())
    if not same(evaluate(model, given), evaluate(plain, given)):
        found.broken.append("undone, the evaluation differs from that of the plain model")
    return found


def _train(
    found: Finding, model: nn.Module, plain: nn.Module, edit: thinned.Edit, given: Any
) -> None:
    ran: set[int] = set()
    layers = [getattr(site.owner, "layer", site.owner) for site in edit.sites]
    watched = [layer.register_forward_hook(lambda m, *_: ran.add(id(m))) for layer in layers]
    for bfloat16 in (False, True):
        kind = "bfloat16" if bfloat16 else "float32"
        try:
            train_step(copy.deepcopy(plain), given, bfloat16=bfloat16)
        except Exception as error:
            found.note = f"does not train in {kind} without us: {str(error).splitlines()[0][:60]}"
            continue
        try:
            train_step(model, given, bfloat16=bfloat16)
        except Exception as error:
            found.broken.append(f"a step in {kind} raised {type(error).__name__}: {error}")
    for handle in watched:
        handle.remove()
    found.fired = len(ran)


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    """Say whether two lists of tensors are equal to the bit."""
    return len(one) == len(other) and all(
        torch.equal(a, b) or (a.isnan() & b.isnan() | (a == b)).all()
        for a, b in zip(one, other, strict=True)
    )


def survey(words: list[str], variant: Any, rate: float) -> Iterator[Finding]:
    """Examine all models whose name contains one of the words."""
    for name, build in zoo.builders(rate).items():
        if words and not any(word in name for word in words):
            continue
        try:
            yield examine(name, build, variant)
        except Exception as error:
            yield Finding(name, broken=[f"{type(error).__name__}: {str(error)[:300]}"])


def main() -> int:
    """Print a line a model and the sums; fail if something did not hold."""
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    parser.add_argument("--variant", default="auto")
    parser.add_argument("--rate", type=float, default=0.0, help="the models' own rate")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torchvision_ops.declare()
    began, all_found = time.time(), []
    for found in survey(options.words, options.variant, options.rate):
        all_found.append(found)
        what = ", ".join(f"{count} {kind}" for kind, count in found.changes.items()) or "nothing"
        tail = "; ".join(["BROKEN: " + "; ".join(found.broken)] * bool(found.broken) + [found.note])
        print(
            f"{found.name:44} {what:44} ran {found.fired:3}, left out {found.left_out:3} {tail}",
            flush=True,
        )
    with_insert = [f for f in all_found if f.inserted]
    broken = [f for f in all_found if f.broken]
    silent = sum(f.inserted - f.fired for f in with_insert if not f.note)
    print(
        f"\n{len(all_found)} models; {len(with_insert)} got {sum(f.inserted for f in with_insert)} "
        f"layers, {silent} of which did not run in training; {len(broken)} models broken; "
        f"{time.time() - began:.0f} s"
    )
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
