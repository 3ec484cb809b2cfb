"""Dropout of tokens: the sequence gets shorter (Liu 2022)."""

from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from thinned._checks import check_count
from thinned.layers._counted import CountedLayer


class TokenDrop(CountedLayer):
    r"""Keep a random set of each sample's tokens, and always the first ones.

    .. math:: y = x_{S}, \quad S = \{1, \ldots, k\} \cup S', \quad
        |S'| = \max(1, \mathrm{round}((1 - p)(N - k)))

    In training :math:`S'` is drawn for each sample, uniformly without replacement, among the
    :math:`N - k` tokens behind the :math:`k` prefix tokens (class token, registers); tokens keep
    their order and are not scaled. In evaluation it is the identity. It belongs behind the position
    embedding. Rate 1 leaves the prefix only, or one token where there is none. Also known as
    PatchDropout. Compiled, a moving rate costs one more graph, since the number of tokens becomes
    dynamic (and one each for a single token, for all of them and at rate 1). Saved for backward:
    the positions of the tokens kept.

    Args:
        p: the rate, in [0, 1].
        prefix_tokens: number of tokens at the start that are never dropped.
        return_indices: return also the positions kept, counted behind the prefix, of shape
            :math:`(B, |S'|)`, or ``None`` where all were.

    Shape:
        - Input: :math:`(B, N, *)`.
        - Output: :math:`(B, N', *)`.

    Raises:
        ValueError: if ``p`` is outside [0, 1].
        TypeError: if ``p`` is not a number.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> tokens = torch.arange(6.0).reshape(1, 6, 1)
        >>> TokenDrop(0.4)(tokens).flatten()
        tensor([0., 1., 2., 5.])

    References:
        Liu, Matsoukas, Strand, Azizpour, Smith (2022), *PatchDropout: Economizing Vision
        Transformers Using Patch Dropout*, section 3, https://arxiv.org/abs/2208.07220
    """

    kind: ClassVar[str] = "token_drop"

    def __init__(
        self, p: float = 0.5, prefix_tokens: int = 1, *, return_indices: bool = False
    ) -> None:
        super().__init__()
        self.p = p
        self.prefix_tokens = check_count("prefix_tokens", prefix_tokens, 0)
        self.return_indices = return_indices

    @classmethod
    def from_module(cls, module: nn.Module, rate: float, **options: Any) -> Self:
        """Return a layer that can take the place of ``module``, a library's own patch dropout.

        Args:
            module: timm's ``PatchDropout``, whose prefix tokens are taken over, or an
                ``nn.Identity`` where a library built with rate 0.
            rate: the new rate, in [0, 1].
            **options: ``prefix_tokens`` and ``return_indices``.

        Raises:
            TypeError: if ``module`` is something else, such as elementwise dropout: a layer behind
                it may count on the number of tokens.
        """
        prefix = getattr(module, "prefix_tokens", getattr(module, "num_prefix_tokens", None))
        if type(module) is not nn.Identity and prefix is None:
            msg = (
                "TokenDrop takes the place of a library's patch dropout or of an nn.Identity, got "
                f"{type(module).__name__}: what follows may count on the number of tokens."
            )
            raise TypeError(msg)
        if prefix is not None:
            options.setdefault("prefix_tokens", prefix)
            own = type(module).__name__ == "PatchDropoutWithIndices"
            options.setdefault("return_indices", getattr(module, "return_indices", own))
        return cls(rate, **options).adopt(module)

    def forward(self, x: Tensor) -> Any:
        """Drop tokens of ``x`` in training."""
        if not self._drops():
            return (x, None) if self.return_indices else x
        prefix = self.prefix_tokens
        patches = x.shape[1] - prefix
        kept = self.kept_of(patches)
        if kept >= patches:
            return (x, None) if self.return_indices else x
        kept = kept if prefix else max(1, kept)
        draw = torch.rand(x.shape[0], patches, device=x.device)
        chosen = draw.topk(kept, dim=1).indices.sort(dim=1).values
        index = (chosen + prefix).reshape(*chosen.shape, *[1] * (x.dim() - 2))
        tokens = x.gather(1, index.expand(-1, -1, *x.shape[2:]))
        if prefix:
            tokens = torch.cat([x[:, :prefix], tokens], dim=1)
        return (tokens, chosen) if self.return_indices else tokens

    def extra_repr(self) -> str:
        """The rate and the number of prefix tokens."""
        return f"p={self.p:g}, prefix_tokens={self.prefix_tokens}"
