"""Random numbers in checkpointing and over ranks."""

import functools

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from helpers.diagnosing import found, mlp

X = torch.randn(8, 16)
EITHER = pytest.mark.parametrize("example", [X, None], ids=["traced", "structure"])


class Unsafe(nn.Module):
    def __init__(self, rate=0.3):
        super().__init__()
        self.body = mlp(nn.Dropout(rate))

    def forward(self, x):
        return checkpoint(self.body, x, use_reentrant=False, preserve_rng_state=False)


class Safe(Unsafe):
    def forward(self, x):
        return checkpoint(self.body, x, use_reentrant=False)


class UnsafeReentrant(Unsafe):
    def forward(self, x):
        return checkpoint(self.body, x, use_reentrant=True, preserve_rng_state=False)


class UnsafePartial(Unsafe):
    def __init__(self, rate=0.3):
        super().__init__(rate)
        self.run = functools.partial(checkpoint, use_reentrant=False, preserve_rng_state=False)

    def forward(self, x):
        return self.run(self.body, x)


@EITHER
@pytest.mark.parametrize("cls", [Unsafe, UnsafeReentrant, UnsafePartial])
def test_dropout_whose_generator_is_not_kept_is_found(cls, example):
    [finding] = found(cls(), example)["checkpoint-without-rng"]
    assert finding.severity == "error"
    assert "preserve_rng_state=True" in finding.fix


@EITHER
@pytest.mark.parametrize("model", [Safe(), Unsafe(rate=0.0), mlp(nn.Dropout(0.3))])
def test_kept_generators_and_nothing_to_drop_are_right(model, example):
    assert "checkpoint-without-rng" not in found(model, example)


def test_ranks_with_the_same_generator_are_found():
    digests = ("3fa0", "3fa0")
    [finding] = found(mlp(nn.Dropout(0.3)), X, rank_generator_digests=digests)[
        "identical-masks-on-ranks"
    ]
    assert "Of 2 ranks only 1" in finding.message


def test_a_schedule_that_begins_at_0_hides_no_ranks():
    digests, rule = ("3fa0", "3fa0"), "identical-masks-on-ranks"
    model = mlp(nn.Dropout(0.0))
    assert rule in found(model, X, rank_generator_digests=digests, scheduled=True)
    assert rule not in found(model, X, rank_generator_digests=digests, scheduled=False)


@pytest.mark.parametrize(
    ("rate", "digests"), [(0.3, ("3fa0", "11c2")), (0.0, ("3fa0", "3fa0")), (0.3, ("3fa0",))]
)
def test_ranks_of_their_own_and_one_rank_are_right(rate, digests):
    model = mlp(nn.Dropout(rate))
    assert "identical-masks-on-ranks" not in found(model, X, rank_generator_digests=digests)


class Skips(nn.Module):
    """Leaves a layer out at random, as in wav2vec 2.0."""

    def __init__(self, layerdrop=0.5):
        super().__init__()
        self.layerdrop = layerdrop
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))

    def forward(self, x):
        for layer in self.layers:
            if not self.training or torch.rand(()) >= self.layerdrop:
                x = x + layer(x)
        return x


def test_layers_left_out_under_ddp_are_found():
    [finding] = found(Skips(), X, world_size=2, strategy="ddp")["skipped-layers-with-ddp"]
    assert "ran in some of 8 forwards only: layers.0" in finding.evidence[1]


@pytest.mark.parametrize(
    ("model", "context"),
    [
        (Skips(), {"world_size": 1, "strategy": "ddp"}),
        (Skips(), {"world_size": 2, "strategy": "ddp", "find_unused_parameters": True}),
        (Skips(), {"world_size": 2, "strategy": "fsdp"}),
        (Skips(0.0), {"world_size": 2, "strategy": "ddp"}),
        (mlp(nn.Dropout(0.3)), {"world_size": 2, "strategy": "ddp"}),
        (Skips(), {}),
    ],
)
def test_one_process_a_search_for_unused_parameters_or_no_skipping_are_right(model, context):
    assert "skipped-layers-with-ddp" not in found(model, X, **context)
