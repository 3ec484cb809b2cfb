"""Co-adaptation and sparsity against numpy, in batches, pickled, and on two processes."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from thinned.metrics import ActivationSparsity, CoAdaptation, activation_sparsity, co_adaptation


def _reference_co_adaptation(units):
    units = units[:, units.std(axis=0) > 0]
    correlation = np.abs(np.corrcoef(units, rowvar=False))
    return correlation[~np.eye(len(correlation), dtype=bool)].mean()


def _reference_sparsity(units, threshold):
    return np.mean(np.abs(units) <= threshold)


def _units(size=50, width=7):
    units = torch.randn(size, width).relu()
    units[:, 1] = units[:, 0] * 2 + 0.1 * torch.randn(size)
    units[:, 2] = 3.0  # never changes
    return units


CASES = [
    (co_adaptation, lambda: CoAdaptation(7), _reference_co_adaptation),
    (activation_sparsity, ActivationSparsity, lambda u: _reference_sparsity(u, 0.0)),
    (
        lambda u: activation_sparsity(u, 0.5),
        lambda: ActivationSparsity(0.5),
        lambda u: _reference_sparsity(u, 0.5),
    ),
]


@pytest.mark.parametrize(("function", "metric", "reference"), CASES)
def test_function_and_class_against_numpy(function, metric, reference):
    units = _units()
    expected = reference(units.numpy().astype(np.float64))
    assert function(units).item() == pytest.approx(expected, rel=1e-5)
    made = metric()
    for batch in units.split(8):
        made.update(batch)
    assert made.compute().item() == pytest.approx(expected, rel=1e-5)
    for twin in (copy.deepcopy(made), made.clone(), pickle.loads(pickle.dumps(made))):
        assert twin.compute() == made.compute()
    made.reset()
    made.update(units[:20])
    assert made.compute().item() == pytest.approx(reference(units[:20].numpy()), rel=1e-4)


@pytest.mark.parametrize(("function", "metric", "reference"), CASES)
def test_forward_gives_the_batch(function, metric, reference):
    units = _units()
    made = metric()
    assert made(units[:25]).item() == pytest.approx(reference(units[:25].numpy()), rel=1e-4)
    made(units[25:])
    assert made.compute().item() == pytest.approx(reference(units.numpy()), rel=1e-4)


def test_positions_count_as_samples():
    images = torch.randn(5, 3, 4, 4)
    flat = images.movedim(1, -1).reshape(-1, 3)
    assert co_adaptation(images) == co_adaptation(flat)


@pytest.mark.parametrize(
    ("units", "value"),
    [
        ([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]], 1.0),
        ([[1.0, -2.0], [2.0, -4.0], [3.0, -6.0]], 1.0),
        ([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], 0.0),
    ],
)
def test_copies_and_independent_units(units, value):
    assert co_adaptation(torch.tensor(units)).item() == pytest.approx(value)


def test_fewer_than_two_units_that_move():
    assert torch.isnan(co_adaptation(torch.ones(4, 3)))
    assert torch.isnan(co_adaptation(torch.randn(4, 1)))


def test_independent_units_are_at_the_stated_level():
    torch.manual_seed(0)
    assert co_adaptation(torch.randn(400, 50)).item() == pytest.approx(0.8 / 400**0.5, rel=0.05)


def test_large_offsets_do_not_hurt():
    units = torch.randn(200, 4)
    assert co_adaptation(units + 1000.0).item() == pytest.approx(
        co_adaptation(units).item(), abs=1e-4
    )


def test_wrong_input():
    with pytest.raises(ValueError, match=r"of shape \(N, U\)"):
        co_adaptation(torch.randn(4))
    for wrong in (ActivationSparsity, lambda value: activation_sparsity(torch.ones(2), value)):
        with pytest.raises(ValueError, match="Expected `threshold`"):
            wrong(-1.0)


@pytest.mark.parametrize(("later", "share"), [(0.0, 1.0), (1.0, 1.0 - 2.0**-20)])
def test_what_comes_after_millions_of_units_still_counts(later, share):
    """A sum of 2**24 in single precision takes no further 1."""
    made = ActivationSparsity()
    made.update(torch.zeros(2**24))
    for _ in range(16):
        made.update(torch.full((1,), later))
    found = made.compute()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(share, abs=1e-7)


def test_arguments_of_torchmetrics_are_taken():
    assert ActivationSparsity(compute_with_cache=False).compute_with_cache is False


_TWO = """
import sys, torch, torch.distributed as dist
from thinned.metrics import ActivationSparsity, CoAdaptation
rank = int(sys.argv[1])
store = dist.FileStore(sys.argv[2], 2)
dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
torch.manual_seed(0)
units = torch.randn(31, 5).relu()
for metric in (CoAdaptation(5), ActivationSparsity()):
    metric.update(units[rank * 20 : (rank + 1) * 20])
    print(metric.compute().item())
dist.barrier()
"""


@pytest.mark.multiprocess
def test_two_processes_together_see_all_samples(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", _TWO]
    started = [
        subprocess.Popen([*command, str(r), str(tmp_path / "store")], stdout=subprocess.PIPE)
        for r in (0, 1)
    ]
    outputs = [[float(x) for x in p.communicate(timeout=120)[0].split()] for p in started]
    torch.manual_seed(0)
    units = torch.randn(31, 5).relu().numpy()
    expected = [_reference_co_adaptation(units), _reference_sparsity(units, 0.0)]
    assert outputs[0] == outputs[1] == pytest.approx(expected, rel=1e-5)
