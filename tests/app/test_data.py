"""The data sets: fixed splits that do not overlap, scaled by the training split alone."""

import pytest
import torch

from thinned.app.data import SklearnData, split

SIZES = {"digits": 1797, "breast_cancer": 569, "wine": 178, "diabetes": 442}


def _parts(data):
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    return [[torch.cat(columns) for columns in zip(*loader, strict=True)] for loader in loaders]


@pytest.mark.parametrize("name", SIZES)
def test_sizes_shapes_and_scale(name):
    data = SklearnData(name, train_size=50, val_size=60)
    train, val, test = _parts(data)
    assert [len(x) for x, _ in (train, val, test)] == [50, 60, SIZES[name] - 110]
    x, y = train
    assert x.dtype == torch.float32
    assert tuple(x.shape[1:]) == data.shape
    if name == "digits":
        assert 0 <= x.min() <= x.max() <= 1
    else:
        torch.testing.assert_close(x.mean(0), torch.zeros(data.shape), atol=1e-4, rtol=0)
        torch.testing.assert_close(x.std(0, correction=0), torch.ones(data.shape))
    if name == "diabetes":
        assert y.shape == (50, 1)
        torch.testing.assert_close(y.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)
    else:
        assert y.dtype == torch.int64
        assert set(y.tolist()) <= set(range(data.outputs))


def test_the_split_is_the_same_whatever_the_seed_of_the_run():
    firsts = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        firsts.append(_parts(SklearnData("wine", 30, 60))[1][0])
    assert torch.equal(*firsts)


def test_parts_do_not_overlap_and_cover_all():
    parts = split(100, 20, 30, seed=3)
    joined = torch.cat(parts).tolist()
    assert sorted(joined) == list(range(100))


def test_more_training_data_keep_the_smaller_set_and_the_validation():
    small, large = split(100, 20, 30, seed=0), split(100, 40, 30, seed=0)
    assert large[0][:20].tolist() == small[0].tolist()
    assert large[1].tolist() == small[1].tolist()


@pytest.mark.parametrize(
    ("sizes", "match"),
    [
        ((0, 10), "`train_size` to be a number of samples in \\[1, 98\\], got 0"),
        ((10, 99), "`val_size` to be a number of samples in \\[1, 98\\], got 99"),
        ((60, 40), "less than the 100 samples, got 60 \\+ 40"),
    ],
)
def test_sizes_that_leave_nothing_are_refused(sizes, match):
    with pytest.raises(ValueError, match=match):
        split(100, *sizes, seed=0)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"got 'digit'. Did you mean 'digits'"):
        SklearnData("digit")
