"""Models that swap and insert are tried on."""

import pytest
from torch import nn
from torch.nn import functional


class Attention(nn.Module):
    """Reads its dropout's rate for the fused attention, as timm's does, and never calls it."""

    def __init__(self, dim=8):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.attn_drop = nn.Dropout(0.1)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(0.2)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        rate = self.attn_drop.p if self.training else 0.0
        return self.proj_drop(
            self.proj(functional.scaled_dot_product_attention(q, k, v, dropout_p=rate))
        )


class Tied(nn.Module):
    """A language model whose output layer has the embedding's weight."""

    def __init__(self, words=11, dim=8):
        super().__init__()
        self.embed = nn.Embedding(words, dim)
        self.mix = nn.Linear(dim, dim)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(dim, words, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, words):
        return self.head(self.drop(self.mix(self.embed(words)).relu()))


@pytest.fixture
def attention():
    return Attention()


@pytest.fixture
def tied():
    return Tied()
