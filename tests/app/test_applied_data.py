"""Weather and shortcut: what training sees, and what the test split shows instead."""

import json

import pytest
import torch

from helpers.app import only
from thinned.app.data import WEATHERS, ShortcutData, SklearnData, WeatherData, in_weather, marked
from thinned.report import read_record

GREY = torch.full((50, 1, 8, 8), 0.5)


def _parts(data):
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    return [loader.dataset.tensors for loader in loaders]


@pytest.mark.parametrize("weather", list(WEATHERS))
def test_weather_changes_every_image_within_its_range_and_repeats(weather):
    found = in_weather(GREY, weather, 0.5, seed=3)
    assert found.shape == GREY.shape
    assert 0 <= found.min() <= found.max() <= 1
    assert (found != GREY).flatten(1).any(1).float().mean() > 0.9
    assert torch.equal(found, in_weather(GREY, weather, 0.5, seed=3))
    assert not torch.equal(found, in_weather(GREY, weather, 0.5, seed=4))
    assert torch.equal(in_weather(GREY, weather, 0.0), GREY)
    assert torch.equal(GREY, torch.full((50, 1, 8, 8), 0.5))  # what was given is not written into


def test_what_each_weather_does():
    assert in_weather(GREY * 0, "fog", 0.5).min() >= 0.25  # half of a haze of 0.5 or more
    rained = in_weather(GREY, "rain", 0.5)
    assert rained.unique().tolist() == pytest.approx([0.5, 0.9])
    assert 0.1 < (rained > 0.5).float().mean() < 0.35
    assert in_weather(GREY, "noise", 0.1).std() == pytest.approx(0.1, abs=0.01)
    brighter = in_weather(GREY, "brightness", 0.4)
    assert torch.equal(brighter, brighter[:, :, :1, :1].expand_as(brighter))  # the image as a whole
    assert brighter.min() < 0.2
    assert brighter.max() > 0.8


def test_streaks_of_rain_slant_over_three_pixels():
    found = in_weather(torch.zeros(2000, 1, 8, 8), "rain", 0.02)[:, 0, 1:-1, 1:-1] > 0
    middle = found[:, 1:-1, 1:-1]
    both = (found[:, :-2, 2:] | found[:, 2:, :-2]) & middle
    assert middle.sum() > 100
    assert both.sum() / middle.sum() > 0.9


def test_only_the_test_split_is_in_weather():
    clear, foggy = SklearnData("digits", 50, 60), WeatherData("fog", train_size=50, val_size=60)
    for part, (mine, theirs) in enumerate(zip(_parts(foggy), _parts(clear), strict=True)):
        assert torch.equal(mine[0], theirs[0]) == (part < 2)
        assert torch.equal(mine[1], theirs[1])


def test_all_weathers_show_each_image_four_times():
    data = WeatherData("all", train_size=50, val_size=60)
    images, labels = _parts(data)[2]
    rest = 1797 - 110
    assert len(images) == len(labels) == 4 * rest
    assert torch.equal(labels[:rest], labels[rest : 2 * rest])
    alone = _parts(WeatherData("noise", train_size=50, val_size=60))[2][0]
    assert torch.equal(images[2 * rest : 3 * rest], alone)


def test_a_mark_stands_where_its_class_has_its_place():
    labels = torch.arange(10)
    found = marked(torch.zeros(10, 1, 8, 8), labels, agree=1.0)
    places = [tuple(place[1:]) for place in found[:, 0].nonzero().tolist()]
    assert places == [(row, column) for column in (0, 7) for row in range(5)]


def test_marks_agree_as_often_as_they_are_told():
    labels = torch.randint(10, (4000,))
    true = marked(torch.zeros(4000, 1, 8, 8), labels, agree=1.0)
    for agree, expected in ((0.9, 0.91), (0.0, 0.1)):  # by chance one in ten agrees as well
        found = marked(torch.zeros(4000, 1, 8, 8), labels, agree, seed=1)
        assert found.sum() == 4000
        assert (found == true).flatten(1).all(1).float().mean() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("mark", "share"), [("as_trained", 0.91), ("random", 0.1), ("none", 0.0)])
def test_the_mark_of_each_split(mark, share):
    shown = ShortcutData(mark, train_size=500, val_size=500)
    plain = SklearnData("digits", train_size=500, val_size=500)
    for part, expected in enumerate((0.91, 0.91, share)):
        images, labels = _parts(shown)[part]
        before, same = _parts(plain)[part]
        assert torch.equal(labels, same)
        true = marked(before, labels, agree=1.0)
        told = (images == true).flatten(1).all(1).float().mean()
        assert told == pytest.approx(expected, abs=0.05)
        changed = (images != before).flatten(1).any(1).float().mean()
        assert changed == 0 if expected == 0 else changed > 0.98


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: WeatherData("snow"), "got 'snow'"),
        (lambda: WeatherData(strength=1.5), "`strength` .*got 1.5"),
        (lambda: in_weather(GREY, "all", 0.5), "got 'all'"),
        (lambda: ShortcutData("wrong"), "got 'wrong'"),
        (lambda: ShortcutData(agree=2.0), "`agree` .*got 2"),
    ],
)
def test_what_makes_no_sense_is_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize("experiment", ["weather", "shortcut"])
def test_the_experiment_trains_and_its_test_is_harder_than_its_validation(experiment, train, quick):
    overrides = ["trainer.max_epochs=12", "data.train_size=300", "data.val_size=300"]
    small = "model.channels=[8,16]" if experiment == "weather" else "model.widths=[64,64]"
    code, err = train(
        f"experiment={experiment}", *quick, *overrides, small, "schedule=none", "checkpoint=null"
    )
    assert code == 0, err
    record = read_record(only("runs/*/*/record.jsonl"))
    assert record.status == "finished"
    status = json.loads(only("runs/*/*/status.json").read_text())
    assert status["metrics"]["val_acc"] > 0.5
    assert status["metrics"]["test_acc"] < status["metrics"]["val_acc"] - 0.1
