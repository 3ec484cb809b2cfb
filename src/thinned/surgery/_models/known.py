"""The table of classes known to hold a rate, by name, so that no library is imported for it."""

import dataclasses
import fnmatch
from collections.abc import Callable

from torch import nn

from thinned._checks import check_choice, shown

KINDS = ("dropout", "drop_path", "drop_block", "layer_drop", "token_drop")


@dataclasses.dataclass(frozen=True)
class SiteRule:
    """One row: objects of these classes hold a rate of this kind in this attribute.

    Attributes:
        cls: a class (its subclasses too), or a glob on its name or on ``package.module.Name``,
            which is compared with every base class as well.
        attribute: where the rate stands.
        kind: what it drops.
        note: what a user must know before setting it.
        dead: given a module, says why its rate has no effect, or None.
    """

    cls: type | str
    attribute: str
    kind: str
    note: str = ""
    dead: Callable[[nn.Module], str | None] = lambda _: None

    def names(self, module_class: type) -> bool:
        """Say whether this row is about a class."""
        if isinstance(self.cls, type):
            return issubclass(module_class, self.cls)
        return any(
            fnmatch.fnmatchcase(name, self.cls)
            for base in module_class.__mro__
            for name in (base.__name__, f"{base.__module__}.{base.__qualname__}")
        )


def _single_layer(module: nn.Module) -> str | None:
    if getattr(module, "num_layers", 2) == 1:
        return "one layer: torch applies this dropout between layers only"
    return None


_BLOCK = "the share that is dropped is not the rate (block size, map size)"
_TOKENS = "changes the number of tokens"

_RULES: list[SiteRule] = [
    SiteRule(nn.modules.dropout._DropoutNd, "p", "dropout"),
    SiteRule(nn.RNNBase, "dropout", "dropout", dead=_single_layer),
    SiteRule(nn.MultiheadAttention, "dropout", "dropout"),
    # timm, and the many copies of its class in Hugging Face and elsewhere
    SiteRule("*DropPath", "drop_prob", "drop_path"),
    SiteRule("*DropPath", "p", "drop_path"),
    SiteRule("*StochasticDepth", "p", "drop_path"),
    SiteRule("DropBlock[123]d", "drop_prob", "drop_block", note=_BLOCK),
    SiteRule("DropBlock[123]d", "p", "drop_block", note=_BLOCK),
    SiteRule("PatchDropout*", "prob", "token_drop", note=_TOKENS),
]


def register_site(
    cls: type | str, attribute: str = "p", kind: str = "dropout", *, note: str = ""
) -> None:
    """Make a class of yours, or a third party's, known as the holder of a rate.

    Args:
        cls: the class (subclasses count), or its name as a glob: ``"LoraDropout"``,
            ``"peft.*.LoraDropout"``. By name, its library need not be imported.
        attribute: the attribute that holds the rate, a float in [0, 1].
        kind: ``dropout``, ``drop_path``, ``drop_block``, ``layer_drop`` or ``token_drop``.
        note: what a user must know before setting it; printed with the sites.

    Raises:
        ValueError: if ``kind`` is unknown.
        TypeError: if ``cls`` is neither a class nor a name, or ``attribute`` no name.

    Example:
        >>> import torch, thinned
        >>> class Blur(torch.nn.Module):
        ...     strength = 0.25
        >>> thinned.register_site(Blur, "strength")
        >>> thinned.find_sites(torch.nn.Sequential(Blur())).rates
        {'0:strength': 0.25}
    """
    for name, value, kinds in (("cls", cls, (str, type)), ("attribute", attribute, (str,))):
        if not isinstance(value, kinds):
            wanted = " or ".join("a class" if each is type else "a name" for each in kinds)
            msg = f"Expected `{name}` to be {wanted}, got {shown(value)}. Write "
            raise TypeError(msg + "register_site('LoraDropout', 'p').")
    rule = SiteRule(cls, attribute, check_choice("kind", kind, KINDS), note)
    _RULES.insert(0, rule)
    _rules_of.clear()


_rules_of: dict[type, tuple[SiteRule, ...]] = {}


def rules_of(module_class: type) -> tuple[SiteRule, ...]:
    """Return the rows about a class, one an attribute, the latest registered first."""
    if module_class not in _rules_of:
        found: dict[str, SiteRule] = {}
        for rule in _RULES:
            if rule.names(module_class):
                found.setdefault(rule.attribute, rule)
        _rules_of[module_class] = tuple(found.values())
    return _rules_of[module_class]
