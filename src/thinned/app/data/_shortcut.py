"""Digits with a mark that gives the label away in training only: does a network rely on it?"""

from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from thinned._checks import check_choice, check_number

from ._sklearn import SklearnData

Mark = Literal["as_trained", "random", "none"]
CLASSES = 10


def marked(images: Tensor, labels: Tensor, agree: float, seed: int = 0) -> Tensor:
    """Return the images with one bright pixel at an edge, as a worn machine might leave it.

    The place of the mark stands for a class: rows 0 to 4 of the left edge for 0 to 4, and of the
    right edge for 5 to 9. With probability ``agree`` it is the class of the image, else any class
    by chance.

    Args:
        images: shaped ``(N, 1, H, W)`` with at least five rows.
        labels: classes from 0 to 9.
        agree: in [0, 1]; 0 is a mark without any meaning.
        seed: of what is drawn.

    Example:
        >>> images = marked(torch.zeros(2, 1, 8, 8), torch.tensor([0, 7]), agree=1.0)
        >>> images[:, 0].nonzero().tolist()
        [[0, 0, 0], [1, 2, 7]]
    """
    agree = check_number("agree", agree, 0.0, 1.0)
    generator = torch.Generator().manual_seed(seed)
    honest = torch.rand(len(labels), generator=generator) < agree
    drawn = torch.randint(CLASSES, labels.shape, generator=generator)
    place = torch.where(honest, labels, drawn)
    column = torch.where(place < 5, 0, images.shape[-1] - 1)
    found = images.clone()
    found[torch.arange(len(images)), 0, place % 5, column] = 1.0
    return found


class ShortcutData(SklearnData):
    """The digits, with a mark that gives the label away in training and validation.

    Validation comes from the same machine as training, and so does not warn: ``val_acc`` looks
    well. What ``test_acc`` falls below it is how far the network relied on the mark.

    Args:
        mark: of the test split: ``"random"``, a mark without meaning; ``"none"``; or
            ``"as_trained"``, which gives the label away there too.
        agree: share of training and validation images whose mark is that of their class, in [0, 1];
            the others have any mark.
        train_size: number of training samples, at least 1.
        val_size: number of validation samples, at least 1; the rest is the test split.
        batch_size: samples a batch, at least 1; validation and test run in one batch up to 1024.
        split_seed: of the split and of the marks.
        num_workers: processes that load, from 0 on; 0 loads in the training process.

    Raises:
        ValueError: if ``mark`` is unknown or the splits leave no test sample.

    Example:
        >>> data = ShortcutData("none", train_size=30, val_size=60)
        >>> data.task, data.shape, data.outputs
        ('classification', (1, 8, 8), 10)
    """

    def __init__(
        self,
        mark: Mark = "random",
        agree: float = 0.9,
        train_size: int = 200,
        val_size: int = 500,
        batch_size: int = 32,
        split_seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__("digits", train_size, val_size, batch_size, split_seed, num_workers)
        self.mark = check_choice("mark", mark, ("as_trained", "random", "none"))
        self.agree = check_number("agree", agree, 0.0, 1.0)
        shares = (self.agree, self.agree, self.agree if mark == "as_trained" else 0.0)
        for part, share in enumerate(shares):
            if part == 2 and mark == "none":
                continue
            images, labels = self._parts[part].tensors
            images = marked(images, labels, share, 3 * split_seed + part)
            self._parts[part] = TensorDataset(images, labels)
