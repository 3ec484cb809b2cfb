"""Dropout of whole words (Gal and Ghahramani 2016)."""

import math
from typing import Any, Self

from torch import Tensor, nn

from thinned._checks import check_choice
from thinned.layers._rate import RateLayer
from thinned.layers._sharing import require_class, share_parameters


class WordDropout(RateLayer, nn.Embedding):
    r"""An embedding that drops whole words, everywhere they occur.

    .. math:: y_{n,t} = E_{w_{n,t}}\, m_{w_{n,t}} / (1 - p), \quad
        m_w \sim \mathrm{Bernoulli}(1 - p)

    In training a dropped word has the vector 0 wherever it occurs, the others are scaled; in
    evaluation it is ``nn.Embedding``. The weight is never written, and only words that occur are
    touched. Saved for backward: one number a position.

    Args:
        num_embeddings: size of the dictionary.
        embedding_dim: size of each vector.
        *args: as in ``nn.Embedding``.
        p: the rate, in [0, 1].
        mode: ``"batch"`` drops the same words in all sequences, ``"sample"`` draws for each
            sequence along axis 0.
        **kwargs: as in ``nn.Embedding``.

    Shape:
        - Input: :math:`(*)`, integers; with ``mode="sample"`` :math:`(N, *)`.
        - Output: :math:`(*, H)`.

    Raises:
        ValueError: if ``p`` is outside [0, 1] or ``mode`` is another word.
        TypeError: if ``p`` is not a number.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> layer = WordDropout(4, 2, p=0.5)
        >>> y = layer(torch.tensor([0, 1, 2, 3, 0, 1, 2, 3]))
        >>> (y == 0).all(dim=1)
        tensor([ True, False, False, False,  True, False, False, False])

    References:
        Gal, Ghahramani (2016), *A Theoretically Grounded Application of Dropout in Recurrent Neural
        Networks*, section 4.2 ("Word Embeddings Dropout"), https://arxiv.org/abs/1512.05287
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *args: Any,
        p: float = 0.1,
        mode: str = "batch",
        **kwargs: Any,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, *args, **kwargs)
        self.p = p
        self.mode = check_choice("mode", mode, ("batch", "sample"))

    @classmethod
    def from_module(cls, module: nn.Module, rate: float, **options: Any) -> Self:
        """Return an embedding with the very weight of ``module``.

        Args:
            module: an ``nn.Embedding``.
            rate: the rate, in [0, 1].
            **options: ``mode``.

        Raises:
            TypeError: if ``module`` is not exactly an ``nn.Embedding``: a subclass may compute
                more.
        """
        source = require_class(cls, module, nn.Embedding)
        made = cls(
            source.num_embeddings,
            source.embedding_dim,
            source.padding_idx,
            source.max_norm,
            source.norm_type,
            source.scale_grad_by_freq,
            source.sparse,
            p=rate,
            device="meta",
            **options,
        )
        return share_parameters(made, source)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        """Look up the vectors of ``input``, with words dropped in training."""
        vectors = super().forward(input)
        if not self._drops():
            return vectors
        if self.mode == "batch":
            noise = self._noise(vectors, [self.num_embeddings])[input]
        else:
            rows = input.reshape(input.shape[0], math.prod(input.shape[1:]))
            noise = self._noise(vectors, [input.shape[0], self.num_embeddings])
            noise = noise.gather(1, rows).reshape(input.shape)
        return vectors * noise.unsqueeze(-1)

    def extra_repr(self) -> str:
        """The sizes, the rate and the mode."""
        return f"{nn.Embedding.extra_repr(self)}, p={self.p:g}, mode={self.mode!r}"
