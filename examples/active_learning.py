"""Which digits to label next: those on which masks disagree (BALD), those that tell most (EPIG)?"""

import statistics

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import thinned
from thinned.uncertainty import bald, epig

inputs, targets = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
inputs = inputs.float() / 16


def trained(rows, steps):
    hidden = nn.Linear(64, 128), nn.ReLU(), nn.Dropout(), nn.Linear(128, 128), nn.ReLU()
    model = nn.Sequential(*hidden, nn.Dropout(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for batch in rows[torch.randint(len(rows), (steps, 32))]:
        optimizer.zero_grad()
        cross_entropy(model(inputs[batch]), targets[batch]).backward()
        optimizer.step()
    return model.eval()


def scores(strategy, model, pool, test):
    if strategy == "random":
        return torch.rand(len(pool))
    # One mask for all rows, and one seed: the same 50 networks see pool and test.
    options = {"masks": "batch", "seed": 0, "keep_samples": True}
    p = thinned.mc_predict(model, inputs[pool], 50, **options).samples.softmax(-1)
    if strategy == "bald":
        return bald(p)
    there = thinned.mc_predict(model, inputs[test[:50]], 50, **options)  # no label is needed
    return epig(p, there.samples.softmax(-1))


def main(seeds=10, rounds=8, steps=200, each=10):
    found = {}
    for strategy in ("random", "bald", "epig"):
        right = found[strategy] = [[] for _ in range(rounds)]
        for seed in range(seeds):
            torch.manual_seed(seed)
            labelled, pool, test = torch.randperm(len(inputs)).split([20, 1000, 777])
            for accuracies in right:
                model = trained(labelled, steps)
                hits = model(inputs[test]).argmax(1) == targets[test]
                accuracies.append(hits.float().mean().item())
                order = scores(strategy, model, pool, test).argsort(descending=True)
                labelled, pool = torch.cat([labelled, pool[order[:each]]]), pool[order[each:]]
        means = " ".join(f"{statistics.mean(accuracies):.3f}" for accuracies in right)
        print(f"{strategy:6} accuracy with 20, {20 + each}, ... labels: {means}")
    return found


if __name__ == "__main__":
    main()
