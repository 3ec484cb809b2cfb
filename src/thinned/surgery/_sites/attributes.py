"""Rates that stand in plain attributes, in config objects, and the gaps left where a rate was 0."""

import re
from collections.abc import Iterator, MutableMapping
from numbers import Integral, Real
from typing import Any, TypeGuard

import torch
from torch import nn

from thinned.surgery._models.known import rules_of
from thinned.surgery._models.sources import file_of, line_of_class

from .functional import OutOfReach
from .reads import Chain, ClassReads
from .site import PLACEHOLDER, Site

_KIND_WORDS = (
    ("layer_drop", re.compile(r"layer_?drop")),
    ("token_drop", re.compile(r"(patch|token|visual|frame)s?_?drop")),
    ("drop_block", re.compile(r"drop_?block")),
    ("drop_path", re.compile(r"drop_?path|stochastic_?depth|drop_?connect")),
)
_DROP = re.compile(r"drop", re.IGNORECASE)
_RATE_NAME = re.compile(
    r"drop(out)?(_?(path|block|connect|layer))?(_?(p|rate|ratio|prob|probability))?\d*$",
    re.IGNORECASE,
)
_GAP = re.compile(r"(^|_)(drop|dropout|drop_?path|drop_?block|drop_?connect|patch_drop)\d*$")


def kind_of(attribute: str, class_name: str = "") -> str:
    """Return what a rate drops, by the words in the names of its attribute and class.

    Example:
        >>> kind_of("encoder_layerdrop"), kind_of("attention_dropout"), kind_of("p", "MyDropPath")
        ('layer_drop', 'dropout', 'drop_path')
    """
    text = f"{attribute} {class_name}".lower()
    return next((kind for kind, words in _KIND_WORDS if words.search(text)), "dropout")


def is_rate(value: Any) -> TypeGuard[float]:
    """Say whether a value can be a rate: a number in [0, 1], and no boolean."""
    if isinstance(value, bool) or not isinstance(value, Real):  # numpy's numbers are real too
        return False
    return 0.0 <= float(value) <= 1.0


def is_leaf(module: nn.Module) -> bool:
    """Say whether a module is nothing but its rate: no parameters, no children."""
    return not module._modules and not module._parameters


def float_sites(path: str, module: nn.Module, reads: ClassReads) -> Iterator[Site]:
    """Find the numbers on a module that are called a drop rate, or stand where one is taken."""
    known = {rule.attribute for rule in rules_of(type(module))}
    name = type(module).__name__
    taken = {chain[0] for chain in reads.rates if len(chain) == 1}
    for attribute, value in vars(module).items():
        if attribute in known or attribute.startswith("__") or not is_rate(value):
            continue
        drops = _says_rate(attribute, value) or (_DROP.search(name) and attribute in _SHORT)
        if attribute in taken or (drops and is_leaf_or_named(module, attribute)):
            kind = kind_of(attribute, name if is_leaf(module) else "")
            yield Site(f"{path}:{attribute}", kind, module, attribute, name)


def _says_rate(name: str, value: Any) -> bool:
    """Say whether a number is a drop rate by its name: other integers are indices and counts."""
    if isinstance(value, Integral) and (value != 0 or not _RATE_NAME.search(name)):
        return False
    return bool(_DROP.search(name))


_SHORT = frozenset({"p", "prob", "rate"})


def is_leaf_or_named(module: nn.Module, attribute: str) -> bool:
    """Say whether a short name (``p``) may be a rate: it may on a leaf only."""
    return attribute not in _SHORT or is_leaf(module)


# SpeechT5 draws with this "rate" what it keeps, in evaluation too: 0 would drop everything.
_NO_RATES = frozenset({"speech_decoder_prenet_dropout"})


def config_sites(path: str, module: nn.Module, reads: ClassReads) -> Iterator[Site]:
    """Find the rates that a module's forward reads off another object, such as its config."""
    for chain, owner, key in _config_rates(module, reads):
        if _is_writable(owner, key):
            name = ".".join(chain).replace(".[", "[")
            yield Site(f"{path}:{name}", kind_of(key), owner, key, type(owner).__name__)


def frozen_rates(path: str, module: nn.Module, reads: ClassReads) -> Iterator[OutOfReach]:
    """Find the rates that a forward reads off an object that lets nobody write."""
    for chain, owner, key in _config_rates(module, reads):
        if not _is_writable(owner, key):
            cls = type(module)
            code = f"reads self.{'.'.join(chain)}, and {type(owner).__name__} cannot be written to"
            yield OutOfReach(path, cls.__name__, file_of(cls), line_of_class(cls), code)


def _config_rates(module: nn.Module, reads: ClassReads) -> Iterator[tuple[Chain, Any, str]]:
    for chain in sorted(reads.chains):
        wanted = _DROP.search(chain[-1]) or chain in reads.rates
        if len(chain) < 2 or not wanted or chain[-1] in _NO_RATES:
            continue
        owner = follow(module, chain[:-1])
        key = chain[-1].strip("[]")
        if owner is None or isinstance(owner, nn.Module | torch.Tensor | type):
            continue
        value = _value(owner, key)
        if is_rate(value) and (chain in reads.rates or _says_rate(key, value)):
            yield chain, owner, key


def _is_writable(owner: Any, key: str) -> bool:
    """Try it, with the value that is there: a dataclass may be frozen, a property may refuse."""
    try:
        if isinstance(owner, MutableMapping):
            owner[key] = owner[key]
        else:
            setattr(owner, key, getattr(owner, key))
    except Exception:  # each library has its own error for what is frozen
        return False
    return True


def follow(start: Any, chain: Chain) -> Any:
    """Return what an attribute chain leads to, None where it leads nowhere."""
    for name in chain:
        key = name.strip("[]")
        start = _value(start, key)
        if start is None:
            return None
    return start


def _value(owner: Any, name: str) -> Any:
    if isinstance(owner, MutableMapping):
        return owner.get(name)
    try:
        return getattr(owner, name, None)
    except Exception:  # a property of somebody's class may do anything
        return None


def placeholder_sites(path: str, module: nn.Module) -> Iterator[Site]:
    """Find what a library left where its rate was 0: an ``Identity`` or ``None`` called drop."""
    for name, child in module._modules.items():
        if _GAP.search(name) and (child is None or type(child) is nn.Identity):
            where = f"{path}.{name}" if path else name
            where = where if child is not None else f"{path}:{name}"
            yield _gap(where, module, name, type(child).__name__ if child is not None else "None")
    for name, value in vars(module).items():
        if value is None and _GAP.search(name):
            yield _gap(f"{path}:{name}", module, name, "None")


def _gap(path: str, module: nn.Module, name: str, cls: str) -> Site:
    return Site(path, PLACEHOLDER, module, name, cls, note="left at rate 0")
