"""`scripts/adaptive` trains many networks side by side; each has to be what it is alone."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own habit

from thinned.callbacks._adaptive.law import AdaptiveLaw

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


def single(nets, run):
    """The run's weights in modules of torch."""
    layers, left = [], list(zip(nets.weights, nets.biases, strict=True))
    if nets.conv:
        for (weight, bias), size in zip(left[:2], (1, 8), strict=True):
            layer = nn.Conv2d(size, weight.shape[-1], 3, padding=1)
            layer.weight.data = weight[run].T.reshape(layer.weight.shape).detach()
            layer.bias.data = bias[run, 0].detach()
            layers += [layer, nn.ReLU(), nn.MaxPool2d(2)]
        layers.append(nn.Flatten())
        left = left[2:]
    for weight, bias in left:
        layer = nn.Linear(*weight.shape[1:])
        layer.weight.data, layer.bias.data = weight[run].T.detach(), bias[run, 0].detach()
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("conv", [False, True])
def test_a_run_gives_the_logits_of_its_network(conv):
    from _adaptive_nets import Networks, losses

    nets = Networks(64, 10, (12, 7), conv=conv)
    nets.begin([torch.Generator().manual_seed(seed) for seed in (0, 1)], copies=2)
    x, labels = torch.rand(4, 5, 64), torch.randint(10, (4, 5))
    logits = nets(x)
    assert torch.equal(nets.weights[0][0], nets.weights[0][1])
    assert not torch.equal(nets.weights[0][1], nets.weights[0][2])
    for run in range(4):
        alone = single(nets, run)(x[run].view(5, 1, 8, 8) if conv else x[run])
        torch.testing.assert_close(logits[run], alone)
        expected = F.cross_entropy(alone, labels[run])
        torch.testing.assert_close(losses(logits, labels)[run], expected)


def test_methods_of_a_seed_differ_by_their_rates_alone():
    import dataclasses

    import _adaptive_sim as sim
    import _adaptive_tasks as tasks

    task = dataclasses.replace(tasks.TEN["wine40"], steps=40)
    both = [lambda _, rate=rate: sim.Controller(rate) for rate in (0.5, 0.0, 0.5)]
    found = sim.train(task, [3, 4], both)
    assert found["test"].shape == (2, 3, 2)
    assert np.array_equal(found["test"][:, 0], found["test"][:, 2])
    assert (found["test"][:, 0] != found["test"][:, 1]).all()
    alone = sim.train(task, [4], both[:2])
    np.testing.assert_allclose(alone["test"][0], found["test"][1, :2], rtol=1e-4)


def test_the_splits_of_a_task_do_not_overlap_and_the_test_set_is_clean():
    import _adaptive_data as data
    import _adaptive_tasks as tasks

    split = tasks.TEN["digits200_ln20"].split(7)
    rows = [{x.numpy().tobytes() for x in part[0]} for part in (split.train, split.val, split.test)]
    assert [len(part) for part in rows] == [200, 50, 400]
    assert len(set.union(*rows)) == 650
    digits, labels = data.real("digits")
    true = {x.astype("float32").tobytes(): y for x, y in zip(digits, labels, strict=True)}
    wrong = [
        np.mean([true[x.numpy().tobytes()] != y for x, y in zip(*part, strict=True)])
        for part in (split.train, split.test)
    ]
    assert 0.1 < wrong[0] < 0.27
    assert wrong[1] == 0


def test_numbers_are_standardized_and_their_loss_is_the_squared_error():
    import dataclasses

    import _adaptive_methods as methods
    import _adaptive_numbers as numbers
    import _adaptive_sim as sim

    task = dataclasses.replace(numbers.NUMBERS["progression60"], steps=60)
    assert task.classes is None
    x, y = task.split(3).train
    assert x.mean().abs() < 1e-5
    assert (y.mean().abs() < 1e-5, y.std(correction=0).item()) == (True, pytest.approx(1, abs=1e-4))
    found = sim.train(task, [3], [methods.METHODS[name].make for name in ("p=0.00", "adaptive")])
    y = task.split(3).test[1]
    explained = 1 - found["test"][0, :, -1] / y.var(correction=0).item()
    np.testing.assert_allclose(found["accuracy"][0, :, -1], explained, rtol=1e-4)
    assert (found["rate"][0, 1] > 0).all()


def test_tasks_drawn_at_random_are_those_of_their_numbers_and_sets_do_not_overlap():
    import dataclasses

    import _adaptive_more_tasks as more
    import _adaptive_numbers as numbers
    import _adaptive_tasks as tasks

    assert numbers.at_random(7) == numbers.at_random(7) != numbers.at_random(8)
    assert more.at_random(7) == more.at_random(7) != more.at_random(8)
    assert not more.CHOSEN_ON.keys() & more.FRESH.keys()
    ten = {dataclasses.replace(task, name="") for task in tasks.TEN.values()}
    assert not ten & {dataclasses.replace(task, name="") for task in more.LIKE_TEN.values()}
    drawn = (more.CHOSEN_ON, more.FRESH, numbers.FRESH_NUMBERS)
    for task in (task for each in drawn for task in each.values()):
        split = task.split(0)
        sizes = [len(part[1]) for part in (split.train, split.val, split.test)]
        assert sizes == [task.size, task.val, task.test]
        assert all(part[0].abs().max() < 100 for part in (split.train, split.test)), task.name


def test_the_law_is_shown_what_the_callback_would_see():
    import _adaptive_methods as methods
    import _adaptive_sim as sim

    from thinned.callbacks._adaptive.label_sums import ClassSums

    outputs, labels = torch.randn(20, 4), torch.randint(4, (20,))
    sums = ClassSums(1)
    sums.add(outputs, labels)
    seen = sim.Seen(0.5, 0.6, 1.4, 0.5, outputs, labels)
    found = methods.reading(seen)
    assert found["log_temperature"] == sums.log_temperature(sums.state())
    assert found["chance_loss"] == math.log(4)


@pytest.mark.parametrize(
    ("patience", "kept"), [(2, [5, 4, 3, 3, 3, 3, 3]), (3, [5, 4, 3, 3, 3, 2, 1])]
)
def test_what_early_stopping_keeps(patience, kept):
    from _adaptive_stopping import best_kept

    val = np.array([[[5, 4, 3, 3.5, 3.6, 2, 1.0]]])
    found = best_kept({"val": val, "test": val + 10}, patience)
    assert found["val"][0, 0].tolist() == kept
    assert found["test"][0, 0].tolist() == [each + 10 for each in kept]


def test_where_it_may_stop_early_the_law_does_not_count_on_the_planned_end():
    import _adaptive_methods as methods
    import _adaptive_stopping as stopping

    task = dataclasses.replace(stopping.STOPPING["wine40"], steps=40)
    names = ["adaptive", "by plan"]
    found = stopping.train(task, [0], [methods.METHODS[name].make for name in names])
    law = AdaptiveLaw()
    starts = [methods.METHODS[name].make(task).rate for name in names]
    assert starts == [0.5, law.begin(12_000 * 32 / 40, 3).rate]
    assert found["val"].shape == (1, 2, 2)
    assert "test_scaled" not in found


def test_fine_tuning_goes_on_from_layers_that_have_learned_the_other_classes():
    import _adaptive_sim as sim
    import _adaptive_tuning as tuning
    from _adaptive_nets import Networks

    task = tuning.TUNING["digits40_x5"]
    split = task.split(3)
    assert task.classes == 5
    assert sorted(set(split.train[1].tolist())) == [0, 1, 2, 3, 4]
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    runs = sim.Runs(task, [split, task.split(4)], generators, copies=2)
    assert torch.equal(runs.nets.weights[0][0], runs.nets.weights[0][1])
    assert not torch.equal(runs.nets.weights[0][1], runs.nets.weights[0][2])
    new = Networks(64, 5, (128, 128), conv=False)
    new.begin([torch.Generator().manual_seed(seed) for seed in (3, 4)], copies=2)
    assert torch.equal(runs.nets.weights[-1], new.weights[-1])
    x, y = task.learned(3)
    assert _spread(runs.nets, x, y) < 0.7 * _spread(new, x, y)


@torch.no_grad()
def _spread(nets, x, y):
    """How far the last hidden units of a class lie apart, to how far all do."""
    for weight, bias in zip(nets.weights[:-1], nets.biases[:-1], strict=True):
        x = torch.relu(x @ weight[0] + bias[0])
    within = torch.cat([x[y == k] - x[y == k].mean(0) for k in range(5)])
    return within.square().mean() / x.var(0, correction=0).mean()


@pytest.mark.parametrize(("name", "make"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_other_optimizers_have_a_learning_rate_that_rises_and_falls(name, make):
    import _adaptive_more_tasks as more
    import _adaptive_sim as sim

    tasks = {"adamw": more.ADAMW, "sgd": more.SGD}[name]
    task = dataclasses.replace(tasks[f"wine40_{name}"], steps=40)
    assert task.highest == {"adamw": 0.95, "sgd": 0.8}[name]
    runs = sim.Runs(task, [task.split(0)], [torch.Generator().manual_seed(0)], copies=1)
    assert type(runs.optimizer) is make
    found = []
    for _ in range(40):
        runs.step(torch.zeros(1))
        found.append(runs.optimizer.param_groups[0]["lr"] / task.lr)
    assert max(found) == found[2 - 1] > 0.99
    assert found[1:] == sorted(found[1:], reverse=True)
    assert found[-1] < 0.01


def test_a_training_that_diverged_is_the_worst(tmp_path):
    from _adaptive_scores import judge

    methods = ["p=0.00", "p=0.50", "adaptive"]
    values = np.array([[[0.5], [np.nan], [0.4]], [[0.5], [0.3], [0.4]]])
    held = {"test": values, "val": values, "accuracy": values}
    np.savez(tmp_path / "some.00000000.0.npz", methods=np.array(methods), **held)
    scores = judge(tmp_path, "some")
    assert (scores.best, scores.rates[scores.best]) == (0, 0.0)
    assert scores.scores["p=0.50"].final.tolist() == [np.inf, 0.3]
    assert scores.scores["adaptive"].within


def test_the_short_form_runs(tmp_path):
    command = [sys.executable, str(SCRIPTS / "adaptive"), str(tmp_path), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "| digits60 |" in done.stdout
    assert "`AdaptiveDropout()`" in done.stdout
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines() == done.stdout.splitlines()[2:]  # nothing is trained twice


@pytest.mark.parametrize("name", ["norm_cancer", "rnn_digits"])
def test_a_network_of_another_family_is_trained_as_the_evidence_trains_it(name):
    import _adaptive_families as families
    import _adaptive_sim as sim
    from evidence_sections._train import fit

    task = dataclasses.replace(families.FAMILY_TASKS[name], steps=20)
    data = task.parts(3)
    recipe = dataclasses.replace(task.recipe, steps=20, checks=20)
    alone = fit(lambda: task.build(data, 0.3), data, recipe, 3).numbers
    found = families.train(task, [3], [lambda _: sim.Controller(0.3)])
    assert found["test"][0, 0, -1] == alone["test_loss"]
    assert found["val"][0, 0, -1] == alone["val_loss"]
    assert found["rate"].shape == (1, 1, 20)


def test_the_law_moves_the_rate_of_another_family():
    import _adaptive_families as families
    import _adaptive_methods as methods

    task = dataclasses.replace(families.FAMILY_TASKS["norm_cancer"], steps=60)
    rates = families.run(task, 0, methods.METHODS["adaptive"].make(task))["rate"]
    assert len(set(rates)) > 5
    assert task.classes == 2
    assert task.epochs == 20  # 100 examples, 3 batches of 32


def test_in_fine_tuning_the_law_asks_how_far_weights_can_move():
    import _adaptive_methods as methods
    import _adaptive_more_tasks as more
    import _adaptive_tuning as tuning

    task = tuning.TUNING["digits120_x100"]
    assert task.moves == pytest.approx(task.steps * 3e-4)
    starts = [methods.METHODS[name].make(task).rate for name in ("adaptive", "by passes")]
    law = AdaptiveLaw()
    found = [law.begin(task.epochs, 5, moves=moves).rate for moves in (task.moves, None)]
    assert starts == found
    assert found[0] < found[1]
    assert more.ADAMW["wine40_adamw"].moves == 0.6  # half of its peak
    assert more.SGD["wine40_sgd"].moves is None  # its steps go as far as gradients say
