"""Makes PyPI's torchvision, which is built for CUDA, importable beside the CPU build of torch.

Its compiled part does not load there, and then its own Python asks for an operator that nobody has
declared. So it is declared here first, with a plain implementation of non-maximum suppression.
"""

import importlib
import sys

import torch
from torch import Tensor

_library = torch.library.Library("torchvision", "FRAGMENT")  # kept: it ends with the object


def declare() -> None:
    """Declare the operators that torchvision's Python needs at import, if nobody else did."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _library.impl("nms", nms, "CPU")
        for name in ("torchvision.extension", "torchvision.ops.boxes"):
            vars(importlib.import_module(name))["_assert_has_ops"] = lambda: None


def nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Keep the best box, drop those that overlap it too much, and go on with the rest."""
    area = (dets[:, 2] - dets[:, 0]) * (dets[:, 3] - dets[:, 1])
    left = scores.argsort(descending=True)
    kept = []
    while left.numel():
        best, left = left[0], left[1:]
        kept.append(best)
        low = torch.maximum(dets[left, :2], dets[best, :2])
        high = torch.minimum(dets[left, 2:], dets[best, 2:])
        overlap = (high - low).clamp(min=0).prod(dim=1)
        left = left[overlap / (area[left] + area[best] - overlap) <= iou_threshold]
    return torch.stack(kept) if kept else scores.new_zeros(0, dtype=torch.long)
