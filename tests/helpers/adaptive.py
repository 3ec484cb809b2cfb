"""A training whose rate is found, and the losses that it was found by."""

import torch

from helpers import tiny


class Kept(tiny.TinyModule):
    """Keeps the loss of its last training step."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.last = loss.item()
        return loss


def fit(*callbacks, module=None, **options):
    torch.manual_seed(0)
    module = Kept() if module is None else module
    tiny.fit(list(callbacks), module=module, **{"max_epochs": 3, **options})
    return module
