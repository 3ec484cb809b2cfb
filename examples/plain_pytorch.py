"""No Lightning: schedule the rate and measure the fair gap in a training loop of one's own."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import thinned
from thinned.metrics import verdict
from thinned.schedules import Curriculum

inputs, targets = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
inputs = inputs.float() / 16
train, val, probe = slice(0, 200), slice(200, 700), slice(0, 100)  # the probe is training data


def main(epochs=60):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 256), nn.ReLU(), nn.Dropout(),
        nn.Linear(256, 256), nn.ReLU(), nn.Dropout(),
        nn.Linear(256, 10),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = Curriculum(0.5)  # a schedule is a function: progress in [0, 1] -> rate
    history = []

    for epoch in range(epochs):
        rate = schedule(epoch / (epochs - 1))
        thinned.set_rate(model, rate)

        model.train()
        for batch in torch.randperm(200).split(40):
            optimizer.zero_grad()
            cross_entropy(model(inputs[train][batch]), targets[train][batch]).backward()
            optimizer.step()

        # Both sides with dropout off: that is what makes the gap fair.
        model.eval()
        with torch.no_grad():
            on_val, on_probe = (
                cross_entropy(model(inputs[part]), targets[part]).item() for part in (val, probe)
            )
        row = {"epoch": epoch, "rate": rate, "val_loss": on_val, "overfit/probe/val_loss": on_probe}
        history.append(row)
        if epoch % 10 == 9:
            gap = on_val - on_probe
            print(f"epoch {epoch:2d}  rate {rate:.2f}  val_loss {on_val:.3f}  gap {gap:.3f}")

    print(verdict(history, "val_loss"))

    unsure = thinned.mc_predict(model, inputs[val], samples=20)
    print(f"entropy of 20 masks, at most: {unsure.entropy.max():.2f} of ln 10 = 2.30")


if __name__ == "__main__":
    main()
