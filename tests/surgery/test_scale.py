import pytest
from torch import nn

import thinned
from thinned import NoEffectError, find_sites
from thinned.surgery import RateScale, scale_rates


class DropPath(nn.Module):
    def __init__(self, drop_prob):
        super().__init__()
        self.drop_prob = drop_prob


def net():
    return nn.ModuleDict(
        {
            "a": nn.Dropout(0.1),
            "b": nn.Dropout(0.4),
            "off": nn.Dropout(0.0),
            "path": DropPath(0.2),
        }
    )


def rates(model):
    return {path: round(rate, 12) for path, rate in find_sites(model).rates.items()}


def test_ratios_stay():
    model = net()
    assert scale_rates(model, 2.0) == 2
    assert rates(model) == {"a": 0.2, "b": 0.8, "off": 0.0, "path": 0.2}
    assert scale_rates(model, 0.5) == 2
    assert rates(model) == {"a": 0.1, "b": 0.4, "off": 0.0, "path": 0.2}


def test_the_choice_is_that_of_set_rate():
    model = net()
    assert scale_rates(model, 0.5, kinds="all") == 3
    assert rates(model) == {"a": 0.05, "b": 0.2, "off": 0.0, "path": 0.1}
    assert scale_rates(model, 2.0, "path") == 1
    assert scale_rates(find_sites(model), 2.0, exclude="b") == 1
    assert rates(model) == {"a": 0.1, "b": 0.2, "off": 0.0, "path": 0.2}


def test_a_factor_that_moves_starts_from_what_was_there():
    model = net()
    scale = RateScale(model, schedule=lambda progress: 2.0 * progress)
    assert scale.highest == 2.5
    seen = []
    for progress in (0.0, 0.5, 0.5, 1.0):
        assert scale.at(progress) == 2
        seen.append((scale.factor, rates(model)["a"], rates(model)["b"]))
    assert seen == [(0.0, 0.0, 0.0), (1.0, 0.1, 0.4), (1.0, 0.1, 0.4), (2.0, 0.2, 0.8)]
    assert scale.rates == {"a": 0.2, "b": 0.8}


def test_a_schedule_of_ours_is_a_factor():
    model = net()
    RateScale(model, schedule=thinned.schedules.Linear(1.0, 0.0)).at(0.75)
    assert rates(model)["b"] == 0.1


def test_two_sites_whose_paths_read_the_same_keep_their_ratio():
    model = nn.ModuleDict({"drop": nn.Dropout(0.1)})
    model["module"] = nn.ModuleDict({"drop": nn.Dropout(0.4)})  # no wrapper, but called like one
    assert scale_rates(model, 0.5) == 2
    assert (model["drop"].p, model["module"]["drop"].p) == (0.05, 0.2)


def test_no_rate_may_exceed_1():
    model = net()
    match = r"`factor` to be a factor in \[0, 2.5\], got 3.* 'b' \(rate 0.4\) would exceed 1"
    with pytest.raises(ValueError, match=match):
        scale_rates(model, 3)
    assert rates(model)["a"] == 0.1


def test_a_factor_is_a_number():
    with pytest.raises(TypeError, match="`factor` to be a factor"):
        scale_rates(net(), "half")


def test_nothing_to_scale_is_an_error():
    with pytest.raises(NoEffectError, match=r"only rates of 0 \(off\)"):
        scale_rates(net(), 0.5, "off")
    with pytest.raises(NoEffectError, match="include='nowhere'"):
        scale_rates(net(), 0.5, "nowhere")


def test_a_scale_without_a_schedule_says_so():
    with pytest.raises(ValueError, match="Pass `schedule=`"):
        RateScale(net()).at(0.5)
