"""Networks that were trained apart, as one prediction."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from thinned import NoEffectError
from thinned.uncertainty import ensemble_predict


def members(count=5, outputs=3):
    torch.manual_seed(0)
    return [
        nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, outputs)
        )
        for _ in range(count)
    ]


def test_statistics_are_those_of_the_outputs():
    nets, x = members(), torch.randn(6, 4)
    with torch.no_grad():
        outputs = torch.stack([net.eval()(x) for net in nets])
    for net in nets:
        net.train()
    nets[2].eval()
    found = ensemble_predict((net for net in nets), x, keep_samples=True)
    assert [net.training for net in nets] == [True, True, False, True, True]
    assert nets[0][1].num_batches_tracked == 0  # the norm has learnt nothing
    assert torch.equal(found.samples, outputs)
    assert torch.allclose(found.mean, outputs.mean(0), atol=1e-6)
    assert torch.allclose(found.std, outputs.std(0), atol=1e-6)
    p = outputs.softmax(2).numpy()
    assert np.allclose(found.probabilities, p.mean(0), atol=1e-6)
    information = stats.entropy(p.mean(0), axis=1) - stats.entropy(p, axis=2).mean(0)
    assert np.allclose(found.mutual_information, information, atol=1e-5)
    assert found.count == 5
    assert found.method == "5 networks"


def test_a_regression():
    found = ensemble_predict(members(outputs=1), torch.randn(6, 4))
    assert found.probabilities is None
    assert found.variance.shape == (6, 1)


def test_several_inputs():
    nets = [nn.Bilinear(4, 4, 2) for _ in range(2)]
    x = torch.randn(6, 4)
    found = ensemble_predict(nets, {"input1": x, "input2": x})
    assert torch.allclose(found.mean, (nets[0](x, x) + nets[1](x, x)) / 2, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1])
def test_one_network_is_no_ensemble(count):
    with pytest.raises(ValueError, match=f"at least 2 networks, got {count}"):
        ensemble_predict(members(count), torch.randn(6, 4))


def test_the_same_network_twice_is_an_error():
    with pytest.raises(NoEffectError, match="got 3 whose outputs are the same"):
        ensemble_predict(members(1) * 3, torch.randn(6, 4))


def test_outputs_must_have_one_shape():
    with pytest.raises(ValueError, match=r"got \(6, 3\) and \(6, 2\)"):
        ensemble_predict([*members(1), *members(1, outputs=2)], torch.randn(6, 4))
