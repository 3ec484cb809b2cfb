"""How sure a detector is of each box: many predictions with dropout on, box matched to box."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thinned._checks import check_count, check_number, check_rate
from thinned._errors import NoEffectError
from thinned._generators import generators_kept
from thinned.integrations.ultralytics._attachment import unwrapped
from thinned.integrations.ultralytics._places import find_places, layer_of, nothing_found
from thinned.surgery import Edit, Site, as_patterns, find_sites
from thinned.surgery._edits.changes import Hooked
from thinned.uncertainty import sampling
from thinned.uncertainty._cutting.once import Once


@dataclass(frozen=True)
class BoxSpread:
    """What many predictions say of the boxes of one plain prediction, all on the CPU.

    Attributes:
        boxes: the plain prediction's, ``x1, y1, x2, y2`` in pixels, shape ``(N, 4)``.
        classes: their classes, shape ``(N,)``.
        confidence: their confidence, shape ``(N,)``.
        seen: the share of samples with a box of that class in that place, shape ``(N,)``.
        mean: mean of these boxes, shape ``(N, 4)``; NaN where none was seen.
        std: their standard deviation in pixels, shape ``(N, 4)``; NaN where fewer than 2 were.
        sampled_confidence: mean confidence of these boxes, shape ``(N,)``.
        others: boxes of a sample that are none of these, on average.
        count: number of samples.
    """

    boxes: Tensor
    classes: Tensor
    confidence: Tensor
    seen: Tensor
    mean: Tensor
    std: Tensor
    sampled_confidence: Tensor
    others: float
    count: int

    @property
    def spread(self) -> Tensor:
        """The standard deviation of the edges, over the box's size: a number for each box."""
        width, height = (self.boxes[:, 2:] - self.boxes[:, :2]).clamp(min=1e-6).unbind(1)
        size = torch.stack([width, height, width, height], 1)
        return (self.std / size).mean(1)


def box_spread(
    model: Any,
    source: Any,
    samples: int = 20,
    *,
    sites: str | Iterable[str] = "head",
    rate: float | None = None,
    variant: str = "spatial",
    iou: float = 0.5,
    seed: int | None = None,
    **options: Any,
) -> list[BoxSpread]:
    r"""Detect many times with dropout on, and say how far each box moves and how often it is seen.

    Dropout is put on the copy of the model that predicts, and is taken off again. The whole of
    ``model.predict`` is repeated, with its own selection of boxes; what the network computes before
    its first dropout is computed once. A box of a sample belongs to the box of the plain prediction
    with which it overlaps most, of the same class and one to one.

    Means something for a model that was trained with dropout in the same places, at that rate.

    Args:
        model: a ``YOLO`` or ``RTDETR`` object for detection, segmentation or pose.
        source: what ``model.predict`` takes and can read again: paths, images, arrays, tensors.
        samples: number of predictions with dropout on, at least 2.
        sites: where, as in `attach`: ``"head"``, ``"neck"``, ``"residual"``, ``"modules"``, globs.
        rate: rate of what is inserted, in [0, 1], by default 0.1; the model's own modules keep
            theirs unless it is given.
        variant: what is dropped, by its name in ``thinned.layers.VARIANTS``.
        iou: smallest overlap (intersection over union) of boxes that are one, in [0, 1].
        seed: draw from this seed, and put the global generators back.
        **options: of ``model.predict``, such as ``conf`` and ``imgsz``.

    Returns:
        One `BoxSpread` for each image.

    Raises:
        NoEffectError: if nothing is found to drop, or all predictions are the same.
        TypeError: if the model's results hold no boxes.

    References:
        Miller, Nicholson, Dayoub, Sünderhauf (2018), *Dropout Sampling for Robust Object Detection
        in Open-Set Conditions*, section III, https://arxiv.org/abs/1710.06677
    """
    count = check_count("samples", samples, 2, what="a number of samples")
    overlap = check_number("iou", iou, 0.0, 1.0)
    options = {"verbose": False, **options, "stream": False}
    plain = [_boxes(result) for result in model.predict(source, **options)]
    net = unwrapped(getattr(model.predictor.model, "model", model.predictor.model))
    kept = contextlib.nullcontext() if seed is None else generators_kept(seed)
    with kept, _dropping(net, as_patterns(sites, "sites"), rate, variant):
        once = Once(net)
        predicted = (once(lambda: model.predict(source, **options)) for _ in range(count))
        drawn = [[_boxes(result) for result in results] for results in predicted]
    same = all(torch.equal(a, b) for each in drawn for a, b in zip(each, drawn[0], strict=True))
    if same and any(len(each) for each in plain):
        msg = f"Expected predictions that differ, got {count} identical ones with dropout in "
        raise NoEffectError(f"{msg}{sites!r}. Give a larger rate or other sites.")
    per_image = zip(*drawn, strict=True)
    return [_spread(a, list(b), overlap) for a, b in zip(plain, per_image, strict=True)]


def _boxes(result: Any) -> Tensor:
    """Return the rows ``x1, y1, x2, y2, confidence, class`` of one image."""
    boxes = getattr(result, "boxes", None)
    if boxes is None:
        msg = "Expected results with upright boxes (detection, segmentation, pose), got others. "
        raise TypeError(msg + "Of a classifier use thinned.mc_predict(model.model, x).")
    return torch.cat(
        [boxes.xyxy.cpu().float(), boxes.conf.cpu()[:, None].float(), boxes.cls.cpu()[:, None]], 1
    )


@contextlib.contextmanager
def _dropping(
    net: nn.Module, sites: tuple[str, ...], rate: float | None, variant: str
) -> Iterator[None]:
    """Let a model that is in evaluation mode drop in some places."""
    own = list(find_sites(net, kinds="dropout")) if "modules" in sites else []
    named = [name for name in sites if name != "modules"]
    if not own and not named:
        raise NoEffectError(nothing_found(net, "modules"))
    given = None if rate is None else check_rate("rate", rate)
    make = layer_of(variant)
    places = find_places(net, named) if named else []
    hooks = [
        Hooked(p.path, p.host, p.hook(make(0.1 if given is None else given)), p.kind)
        for p in places
    ]
    before = [site.rate for site in own]
    edit = Edit(net, "insert", hooks) if hooks else None
    try:
        if given is not None:
            for site in own:
                site.set(given)
        on: list[Site] = [*own, *(edit.sites if edit else ())]
        with sampling(net, on):
            yield
    finally:
        for site, old in zip(own, before, strict=True):
            site.set(old)
        if edit is not None:
            edit.undo()


def _spread(plain: Tensor, drawn: list[Tensor], iou: float) -> BoxSpread:
    """Match the boxes of each sample to the plain ones, and sum up."""
    found: list[list[Tensor]] = [[] for _ in plain]
    others = 0
    for rows in drawn:
        pairs = matched(plain, rows, iou)
        others += len(rows) - len(pairs)
        for ours, theirs in pairs:
            found[ours].append(rows[theirs])
    nan = torch.full((6,), float("nan"))
    stacks = [torch.stack(each) if each else nan[None] for each in found]
    mean = torch.stack([each.mean(0) for each in stacks]) if stacks else plain
    std = [each.std(0) if len(each) > 1 else nan for each in stacks]
    return BoxSpread(
        boxes=plain[:, :4],
        classes=plain[:, 5].long(),
        confidence=plain[:, 4],
        seen=torch.tensor([len(each) / len(drawn) for each in found]),
        mean=mean[:, :4],
        std=(torch.stack(std) if std else plain)[:, :4],
        sampled_confidence=mean[:, 4],
        others=others / len(drawn),
        count=len(drawn),
    )


def matched(ours: Tensor, theirs: Tensor, iou: float) -> list[tuple[int, int]]:
    """Pair boxes of the same class, the largest overlap first, each box once.

    Args:
        ours: rows ``x1, y1, x2, y2, confidence, class``, shape ``(N, 6)``.
        theirs: the same, shape ``(M, 6)``.
        iou: smallest overlap of a pair, in [0, 1].

    Example:
        >>> ours = torch.tensor([[0.0, 0, 10, 10, 0.9, 1], [20, 20, 30, 30, 0.8, 1]])
        >>> theirs = torch.tensor([[21.0, 20, 31, 30, 0.7, 1], [0, 0, 10, 10, 0.9, 2]])
        >>> matched(ours, theirs, 0.5)
        [(1, 0)]
    """
    low = torch.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = torch.minimum(ours[:, None, 2:4], theirs[None, :, 2:4])
    common = (high - low).clamp(min=0.0).prod(2)
    areas = [(each[:, 2:4] - each[:, :2]).prod(1) for each in (ours, theirs)]
    overlap = common / (areas[0][:, None] + areas[1][None] - common).clamp(min=1e-9)
    overlap = overlap.where(ours[:, None, 5] == theirs[None, :, 5], -1.0)
    pairs: list[tuple[int, int]] = []
    while overlap.numel() and float(overlap.max()) >= max(iou, 1e-9):
        row, column = divmod(int(overlap.argmax()), len(theirs))
        pairs.append((row, column))
        overlap[row], overlap[:, column] = -1.0, -1.0
    return pairs
