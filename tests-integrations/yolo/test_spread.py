"""Repeated detections with dropout on, and how far each box moves."""

import logging
import math

import numpy as np
import pytest
import torch
from ultralytics import RTDETR, YOLO

from thinned import NoEffectError
from thinned.integrations.ultralytics import box_spread
from thinned.integrations.ultralytics._spread import _spread, matched
from thinned.uncertainty._cutting.once import Once

OPTIONS = {"imgsz": 64, "conf": 1e-6, "max_det": 8, "device": "cpu"}


def images(count=2):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(count)]


def lively():
    """Return a detector that has learnt nothing, and yet looks at its images."""
    torch.manual_seed(0)
    model = YOLO("yolo26n.yaml")
    with torch.no_grad():
        for module in model.model.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.mul_(2.0)
    return model


def boxes(*rows):
    return torch.tensor([[*box, confidence, label] for box, confidence, label in rows])


A, B = (0.0, 0.0, 10.0, 10.0), (20.0, 20.0, 40.0, 40.0)


def test_boxes_are_matched_by_overlap_class_and_once():
    ours = boxes((A, 0.9, 0), (B, 0.8, 1))
    near = (1.0, 0.0, 11.0, 10.0)
    assert matched(ours, boxes((B, 0.5, 1), (A, 0.5, 0)), 0.5) == [(0, 1), (1, 0)]
    assert matched(ours, boxes((B, 0.5, 0)), 0.5) == []  # another class
    assert matched(ours, boxes((near, 0.9, 0), (A, 0.1, 0)), 0.5) == [(0, 1)]  # the best, once
    assert matched(ours, boxes((near, 0.9, 0)), 0.9) == []  # 9 of 11 in common
    assert matched(ours, torch.zeros(0, 6), 0.5) == []
    assert matched(torch.zeros(0, 6), ours, 0.5) == []


def test_the_spread_by_hand():
    plain = boxes((A, 0.9, 0), (B, 0.8, 1))
    moved = (2.0, 0.0, 12.0, 10.0)
    found = _spread(
        plain,
        [boxes((A, 0.8, 0)), boxes((moved, 0.6, 0), (B, 0.4, 2)), boxes((B, 0.4, 1))],
        iou=0.5,
    )
    assert found.seen.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert found.mean[0].tolist() == [1.0, 0.0, 11.0, 10.0]
    assert found.std[0].tolist() == pytest.approx([math.sqrt(2), 0.0, math.sqrt(2), 0.0])
    assert float(found.spread[0]) == pytest.approx(math.sqrt(2) / 20)
    assert found.mean[1].tolist() == list(B)
    assert bool(found.std[1].isnan().all())  # one box has no spread
    assert found.sampled_confidence.tolist() == pytest.approx([0.7, 0.4])
    assert found.others == pytest.approx(1 / 3)
    assert found.count == 3


@pytest.mark.parametrize("sites", ["head", "residual", "model.9"])
def test_boxes_of_an_untrained_model_move_and_nothing_stays(sites):
    model, pictures = lively(), images()
    first = box_spread(model, pictures, 4, sites=sites, rate=0.3, iou=0.1, seed=1, **OPTIONS)
    assert [len(each.boxes) for each in first] == [8, 8]
    plain = model.predict(pictures, verbose=False, **OPTIONS)
    for each, result in zip(first, plain, strict=True):
        assert torch.equal(each.boxes, result.boxes.xyxy)  # dropout is off again
        assert torch.equal(each.confidence, result.boxes.conf)
        assert each.others <= 8
        assert each.seen.shape == (8,)
    net = model.predictor.model.model
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert not any(module.training for module in net.modules())
    again = box_spread(model, pictures, 4, sites=sites, rate=0.3, iou=0.1, seed=1, **OPTIONS)
    assert all(torch.equal(a.seen, b.seen) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(a.boxes, b.boxes) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("sites", ["head", "residual"])
def test_boxes_are_those_of_whole_forwards(sites, monkeypatch):
    model, pictures = lively(), images()

    def drawn():
        return box_spread(model, pictures, 4, sites=sites, rate=0.3, iou=0.1, seed=1, **OPTIONS)

    works = []
    call = Once.__call__
    monkeypatch.setattr(
        Once, "__call__", lambda self, each: (call(self, each), works.append(self._works))[0]
    )
    found = drawn()
    assert works == [True] * 4
    monkeypatch.setattr(Once, "__call__", lambda _, each: each())
    for one, other in zip(found, drawn(), strict=True):
        assert torch.equal(one.seen, other.seen)
        assert torch.allclose(one.mean, other.mean, equal_nan=True)


def test_a_trained_detector_sees_its_boxes_again(shapes, train):
    model = YOLO("yolo26n.yaml")
    train(model, shapes, epochs=3)
    (found,) = box_spread(model, images(1), 6, rate=0.02, seed=0, **OPTIONS)
    assert len(found.boxes) == 8
    assert float(found.seen.max()) > 0.0
    assert bool((found.std[found.seen > 0.5] >= 0).all())


def test_rtdetr_by_its_own_dropout():
    model = RTDETR("rtdetr-l.yaml")
    options = {**OPTIONS, "imgsz": 160}
    (found,) = box_spread(
        model, images(1), 2, sites="modules", rate=0.5, iou=0.0, seed=0, **options
    )
    assert found.count == 2
    assert all(site.rate == 0.0 for site in _own(model))


def _own(model):
    from thinned.surgery import find_sites

    sites = find_sites(model.predictor.model.model, kinds="dropout")
    assert len(sites) > 0
    return sites


def test_nothing_to_drop_is_an_error():
    model = lively()
    with pytest.raises(NoEffectError, match="'modules' finds none"):
        box_spread(model, images(1), 2, sites="modules", **OPTIONS)
    with pytest.raises(NoEffectError, match="2 identical ones with dropout in 'head'"):
        box_spread(model, images(1), 2, rate=0.0, **OPTIONS)


def test_a_classifier_has_no_boxes():
    logging.getLogger("ultralytics").setLevel(logging.ERROR)
    with pytest.raises(TypeError, match="results with upright boxes"):
        box_spread(YOLO("yolo26n-cls.yaml"), images(1), 2, imgsz=64, device="cpu")
