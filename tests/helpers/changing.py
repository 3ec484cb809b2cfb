"""A model whose forward can be told, in many ways, to let its rows look at each other."""

import types

import torch
from torch import nn

GLOBAL = {"mixing": False}
MIXING = False


def by_global():
    return MIXING


class Base(nn.Module):
    """Centres its output over the batch when `mixing` says so: then every sample sums to 0."""

    switch = False

    def __init__(self):
        super().__init__()
        self.one, self.drop, self.two = nn.Linear(6, 16), nn.Dropout(0.5), nn.Linear(16, 3)
        self.flag = False
        self.config = types.SimpleNamespace(inner=types.SimpleNamespace(mixing=False))
        self.options = {"mixing": [False]}
        self._private = False
        self.unread = []

    @property
    def mixes(self):
        return self._private

    def mixing(self):
        return False

    def forward(self, x):
        out = self.two(self.drop(self.one(x)))
        return out - out.mean(0, keepdim=True) if self.mixing() else out


class ByAttribute(Base):
    def mixing(self):
        return self.flag


class ByClass(Base):
    def mixing(self):
        return self.switch


class ByConfig(Base):
    def mixing(self):
        return self.config.inner.mixing


class ByContainer(Base):
    def mixing(self):
        return self.options["mixing"][0]


class ByProperty(Base):
    def mixing(self):
        return self.mixes


class ByName(Base):
    def mixing(self):
        return getattr(self, "flag")  # noqa: B009  the name is a string in the code


class ByGlobal(Base):
    def mixing(self):
        return by_global()


class ByGlobalContainer(Base):
    def mixing(self):
        return GLOBAL["mixing"]


def by_closure():
    """Return a model that asks a variable of this function, and what sets it."""
    mixing = False

    class ByClosure(Base):
        def mixing(self):
            return mixing

    def set_it():
        nonlocal mixing
        mixing = True

    return ByClosure(), set_it


class Centred(nn.Linear):
    """A linear layer that centres."""

    def forward(self, x):
        out = super().forward(x)
        return out - out.mean(0, keepdim=True)


def centre(_module, _args, output):
    return output - output.mean(0, keepdim=True)


class Hook:
    """A hook with a state of its own."""

    def __init__(self):
        self.on = False

    def __call__(self, module, args, output):
        return centre(module, args, output) if self.on else None


def noise(rows):
    return 2 * torch.rand(rows, 1)
