"""The scheduler sets what it says, logs what the modules hold, and refuses what cannot work."""

import dataclasses
import pickle

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from helpers import tiny
from thinned import NoEffectError, ThinnedWarning
from thinned.callbacks import DropoutScheduler
from thinned.layers import ConcreteDropout
from thinned.schedules import Constant, Linear, Profile, Schedule, Step


class Look(pl.Callback):
    """Notes the module's own rates inside each step, and those in `callback_metrics`."""

    def __init__(self, paths=("net.2", "net.5")):
        self.paths = paths
        self.rates = []
        self.metrics = []

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        self._look(trainer, pl_module)

    def on_train_batch_end(self, trainer, pl_module, *_):
        self._look(trainer, pl_module)

    def _look(self, trainer, pl_module):
        done = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        if done == len(self.rates):
            return
        self.rates.append(tuple(pl_module.get_submodule(path).p for path in self.paths))
        self.metrics.append(
            {k: v.item() for k, v in trainer.callback_metrics.items() if k.startswith("dropout/")}
        )


class Rows(pl.loggers.logger.DummyLogger):
    """A logger that keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        rates = {k: v for k, v in metrics.items() if k.startswith("dropout/")}
        if rates:
            self.rows.append((step, rates))


def run(scheduler, look=None, **options):
    look = look or Look()
    rows = Rows()
    tiny.fit([scheduler, look], logger=rows, **options)
    return look, rows.rows


def ramp(count, end=0.4):
    """Return the rates of a straight line from 0 to its end, by hand."""
    return [end * k / (count - 1) for k in range(count)]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"max_epochs": 2}, 8),
        ({"max_steps": 5}, 5),
        ({"max_epochs": 2, "accumulate_grad_batches": 3}, 8),
        ({"fast_dev_run": 3}, 3),
    ],
    ids=str,
)
def test_logged_rate_is_the_modules_rate_at_each_step(options, count):
    look, rows = run(DropoutScheduler(Linear(0.0, 0.4)), **options)
    assert len(look.rates) == count
    assert [rate for rate, _ in look.rates] == pytest.approx(ramp(count))
    assert all(first == second for first, second in look.rates)
    assert look.rates[-1] == (0.4, 0.4)
    assert [m["dropout/all/rate"] for m in look.metrics] == pytest.approx(
        [look.rates[0][0], *(rate for rate, _ in look.rates[1:])], abs=1e-7
    ) or "accumulate_grad_batches" in options
    if "accumulate_grad_batches" not in options and "fast_dev_run" not in options:
        assert rows == [(k, {"dropout/all/rate": look.rates[k][0]}) for k in range(count)]


def test_accumulation_logs_once_a_step_on_the_loggers_own_axis():
    look, rows = run(DropoutScheduler(Linear(0.0, 0.7)), max_epochs=2, accumulate_grad_batches=3)
    # Steps end after the batches 2, 3 (the epoch's last), 6, 7; they begin at 0, 3, 4, 7.
    expected = [(0, 0), (1, 3), (2, 4), (3, 7)]
    assert [step for step, _ in rows] == [step for step, _ in expected]
    assert [r["dropout/all/rate"] for _, r in rows] == [look.rates[k][0] for _, k in expected]


@pytest.mark.parametrize(
    ("options", "batches"),
    [
        ({}, [3, 7]),
        ({"val_check_interval": 2}, [1, 3, 5, 7]),
        ({"limit_val_batches": 0}, []),
        ({"log_every_n_steps": 4}, [3, 7]),  # due anyway, and not twice
    ],
    ids=str,
)
def test_each_validation_has_the_rates_logged_where_few_steps_are(options, batches):
    few = {"log_every_n_steps": 50, "max_epochs": 2, **options}
    look, rows = run(DropoutScheduler(Linear(0.0, 0.7)), **few)
    assert rows == [(k, {"dropout/all/rate": look.rates[k][0]}) for k in batches]


def test_accumulation_that_changes():
    accumulate = pl.callbacks.GradientAccumulationScheduler({0: 1, 1: 4})
    look = Look()
    tiny.fit([DropoutScheduler(Linear(0.0, 0.4)), accumulate, look], max_steps=6)
    assert [rate for rate, _ in look.rates] == pytest.approx(ramp(12))
    assert look.rates[-1] == (0.4, 0.4)


@pytest.mark.parametrize("options", [{"max_epochs": 2}, {"max_steps": 16}], ids=str)
def test_two_optimizers(options):
    look, rows = run(DropoutScheduler(Linear(0.0, 0.4)), module=tiny.TwoOptimizers(), **options)
    assert [rate for rate, _ in look.rates] == pytest.approx(ramp(8))
    assert look.rates[-1] == (0.4, 0.4)
    assert rows == [(k, {"dropout/all/rate": look.rates[k][0]}) for k in range(8)]


def test_past_the_end_the_rate_stays():
    look, _ = run(DropoutScheduler(Linear(0.0, 0.4), total_steps=3), max_epochs=2)
    assert [rate for rate, _ in look.rates] == [0.0, 0.2] + [0.4] * 6


def test_rates_stay_as_the_schedule_left_them():
    module = tiny.TinyModule()
    scheduler = DropoutScheduler(Linear(0.0, 0.4))
    tiny.fit([scheduler], module=module, max_epochs=2)
    assert (module.net[2].p, module.net[5].p) == (0.4, 0.4)
    assert scheduler.rates == {"all": 0.4}


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        ("epoch", [0.0] * 4 + [0.2] * 4 + [0.4] * 4),
        (5, [0.0] * 5 + [0.2] * 5 + [0.4] * 2),
        (100, [0.4] * 12),
    ],
)
def test_every(every, expected):
    look, _ = run(DropoutScheduler(Linear(0.0, 0.4), every=every), max_epochs=3)
    assert [rate for rate, _ in look.rates] == pytest.approx(expected)


def test_a_mapping_gives_each_pattern_its_schedule_and_leaves_the_rest():
    module = tiny.TinyModule(tiny.mlp(0.5).append(nn.Dropout(0.25)))
    scheduler = DropoutScheduler({"net.2": Linear(0.0, 0.4), "deep=net.5": 0.1})
    look, rows = run(scheduler, Look(("net.2", "net.5", "net.7")), module=module, max_epochs=1)
    assert look.rates == [(pytest.approx(rate), 0.1, 0.25) for rate in ramp(4)]
    assert rows[-1] == (3, {"dropout/net.2/rate": 0.4, "dropout/deep/rate": 0.1})
    assert {name: [s.path for s in group] for name, group in scheduler.groups.items()} == {
        "net.2": ["net.2"],
        "deep": ["net.5"],
    }


def test_the_first_pattern_that_matches_wins():
    look, rows = run(DropoutScheduler({"net.5": 0.1, "*": 0.3}))
    assert look.rates == [(0.3, 0.1)] * 4
    assert rows[0] == (0, {"dropout/net.5/rate": 0.1, "dropout/all/rate": 0.3})


def test_include_and_exclude():
    look, _ = run(DropoutScheduler(0.1, include="net", exclude="net.5"))
    assert look.rates == [(0.1, 0.5)] * 4
    look, _ = run(DropoutScheduler(0.1, include=["net.2", "net.5"]))
    assert look.rates == [(0.1, 0.1)] * 4


def test_a_profile_varies_over_depth_and_the_groups_rate_is_logged():
    look, rows = run(DropoutScheduler(Linear(0.0, 0.4), profile="linear_depth"))
    assert look.rates == [(pytest.approx(r / 2), pytest.approx(r)) for r in ramp(4)]
    assert [row["dropout/all/rate"] for _, row in rows] == pytest.approx(ramp(4))


def test_a_function_and_a_schedule_of_ones_own():
    class Half(Schedule):
        def __call__(self, progress):
            return 0.5 * progress

    look, _ = run(DropoutScheduler({"net.2": lambda t: 0.3 * t, "net.5": Half()}))
    assert look.rates[-1] == (0.3, 0.5)


def test_kinds_other_than_dropout_need_naming():
    class Path(nn.Dropout):
        kind = "drop_path"

    module = tiny.TinyModule(tiny.mlp().append(Path(0.2)))
    look, _ = run(DropoutScheduler(0.1), Look(("net.2", "net.7")), module=module)
    assert look.rates[-1] == (0.1, 0.2)
    look, _ = run(DropoutScheduler(0.3, kinds="drop_path"), Look(("net.2", "net.7")), module=module)
    assert look.rates[-1] == (0.1, 0.3)


def test_a_rate_that_something_else_sets_is_logged_as_it_is_and_told():
    class Meddler(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, *_):
            pl_module.net[2].p = 0.9

    rows = Rows()
    with pytest.warns(ThinnedWarning, match=r"'net.2' was set to 0.1 and holds 0.9: some"):
        tiny.fit([Meddler(), DropoutScheduler(0.1)], logger=rows)
    assert rows.rows[-1] == (3, {"dropout/all/rate": 0.9})


def test_a_learned_rate_begins_where_it_is_set_and_moves_without_a_warning():
    net = tiny.mlp()
    net[2] = ConcreteDropout(0.1, floor=0.05, ceiling=0.4)

    def learn(*_):
        net[2].logit.data.add_(1.0)

    net[2].register_forward_pre_hook(learn)
    module = tiny.TinyModule(net)
    rows = Rows()
    tiny.fit([DropoutScheduler({"net.2": 0.1, "net.5": 0.3})], module, logger=rows)
    assert 0.1 < rows.rows[-1][1]["dropout/net.2/rate"] < 0.4
    tiny.fit([DropoutScheduler({"net.2": 0.6})], module, logger=rows)
    assert rows.rows[-1][1]["dropout/net.2/rate"] == pytest.approx(0.4, abs=1e-3)


def test_fit_twice_with_the_same_callback():
    scheduler = DropoutScheduler(Linear(0.0, 0.4))
    look = Look()
    for _ in range(2):
        look.rates.clear()
        run(scheduler, look)
        assert look.rates[-1] == (0.4, 0.4)
        assert [rate for rate, _ in look.rates] == pytest.approx(ramp(4))


def test_some_epochs_more_follow_the_new_length_and_say_so():
    scheduler, look, module = DropoutScheduler(Linear(0.0, 0.4)), Look(), tiny.TinyModule()
    trainer = tiny.fit([scheduler, look], module=module, max_epochs=1)
    trainer.fit_loop.max_epochs = 3
    with pytest.warns(ThinnedWarning, match="after 4 batches .* 12 batches, 4 before"):
        trainer.fit(module, tiny.loader(), tiny.loader(16, seed=1))
    assert [rate for rate, _ in look.rates] == pytest.approx(ramp(4) + ramp(12)[4:])


def test_validation_and_test_alone_do_nothing():
    module = tiny.TinyModule()
    trainer = tiny.trainer(callbacks=[DropoutScheduler(0.1)])
    trainer.validate(module, tiny.loader(), verbose=False)
    assert module.net[2].p == 0.5


@pytest.mark.parametrize("name", tiny.NAMESPACES)
@pytest.mark.parametrize("logger", [False, True, "two"])
def test_any_logger_and_either_namespace(name, logger, tmp_path):
    module = __import__(f"{name}.loggers", fromlist=["CSVLogger"])
    loggers = [module.CSVLogger(tmp_path, name=str(i)) for i in range(2)]
    chosen = {False: False, True: loggers[0], "two": loggers}[logger]
    trainer = tiny.fit([DropoutScheduler(Linear(0.0, 0.4))], namespace=name, logger=chosen)
    assert trainer.callback_metrics["dropout/all/rate"].item() == pytest.approx(0.4)
    for used in trainer.loggers:
        used.save()
        header, *rows = (tmp_path / used.name / "version_0" / "metrics.csv").read_text().split()
        assert "dropout/all/rate" in header.split(",")
        assert rows


def test_a_logger_that_raises_costs_a_warning_and_not_the_run():
    class Broken(Rows):
        def log_metrics(self, metrics, step=None):
            if any(key.startswith("dropout/") for key in metrics):
                raise OSError("disk full")

    look = Look()
    with pytest.warns(ThinnedWarning, match=r"logger Broken failed \(OSError: disk full\)") as seen:
        tiny.fit([DropoutScheduler(0.1), look], logger=Broken())
    assert sum(issubclass(warning.category, ThinnedWarning) for warning in seen) == 1
    assert look.rates == [(0.1, 0.1)] * 4


# Wrong configuration stops before the first step.


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"schedule": 1.5}, ValueError, r"`schedule` to be a rate in \[0, 1\], got 1.5"),
        ({"schedule": "abc"}, ValueError, r"`schedule` to be one of .* got 'abc'"),
        ({"schedule": float("nan")}, ValueError, r"`schedule` to be a rate .* got nan"),
        ({"schedule": {}}, ValueError, r"got an empty mapping. Write"),
        ({"schedule": {"*": 2}}, ValueError, r"`schedule` to be a rate"),
        ({"schedule": {3: 0.1}}, TypeError, r"`schedule` to be a glob or a list of globs"),
        ({"schedule": 0.1, "include": ""}, ValueError, r"`include` to hold no empty pattern"),
        ({"schedule": 0.1, "every": "batch"}, ValueError, r"`every` to be one of 'step', 'epoch'"),
        ({"schedule": 0.1, "every": 0}, ValueError, r"`every` to be 'step', 'epoch' or a whole"),
        ({"schedule": 0.1, "every": 1.5}, ValueError, r"`every` .* got 1.5. Round it"),
        ({"schedule": 0.1, "total_steps": 0}, ValueError, r"`total_steps` to be a length .* got 0"),
        ({"schedule": 0.1, "total_steps": "x"}, TypeError, r"`total_steps` to be a length"),
        ({"schedule": 0.1, "profile": "lin"}, ValueError, r"`profile` to be one of"),
    ],
    ids=str,
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        DropoutScheduler(**arguments)


class NoStep(tiny.TinyModule):
    """Fails the test if it is ever trained."""

    def training_step(self, batch, batch_idx):
        raise AssertionError


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (
            DropoutScheduler(0.1, include="head.*"),
            r"include='head.\*'; none does.* net.2 \(drop",
        ),
        (DropoutScheduler({"net.2": 0.1, "head": 0.2}), r"include='head'; none does"),
        (
            DropoutScheduler({"*": 0.1, "net.2": 0.2}),
            r"left for 'net.2', .* belong to '\*'. The",
        ),
        (DropoutScheduler(0.1, exclude="net"), r"include='\*', exclude='net'; none does"),
        (DropoutScheduler(0.1, kinds="drop_path"), r"include='\*'; none does"),
        (DropoutScheduler({"net.2": 0.1}, include="net.5"), r"include='net.2'; none does"),
    ],
    ids=lambda x: "" if isinstance(x, str) else repr(x.plan),
)
def test_nothing_to_set_stops_before_the_first_step(scheduler, message):
    with pytest.raises(NoEffectError, match=message):
        tiny.fit([scheduler], module=NoStep())


def test_a_model_without_sites_says_so():
    with pytest.raises(NoEffectError, match=r"holds no site at all; `thinned.insert"):
        tiny.fit([DropoutScheduler(0.1)], module=NoStep(nn.Sequential(nn.Linear(8, 3))))


def stream():
    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(tiny.dataset(32))

    return torch.utils.data.DataLoader(Endless(), batch_size=8)


def test_a_length_that_is_not_known_stops_before_the_first_step():
    with pytest.raises(ValueError, match=r"length of the training .* inf batches an epoch.*tot"):
        tiny.fit([DropoutScheduler(Linear(0, 0.4))], module=NoStep(), train=stream())
    with pytest.raises(ValueError, match=r"max_epochs=-1, max_steps=-1, 4 batches"):
        tiny.fit([DropoutScheduler(Linear(0, 0.4))], module=NoStep(), max_epochs=-1)


@pytest.mark.parametrize(
    ("scheduler", "end"),
    [
        (DropoutScheduler(0.1), 0.1),
        (DropoutScheduler(Linear(0, 0.4), total_steps=8), 0.4),
        (DropoutScheduler(Linear(0, 0.4), every="epoch"), 0.4),
        (DropoutScheduler(Constant(0.2)), 0.2),
    ],
    ids=lambda x: "" if isinstance(x, float) else repr(x.plan),
)
def test_a_length_that_is_not_known_does_not_matter(scheduler, end):
    look, _ = run(scheduler, train=stream(), max_epochs=2)
    assert look.rates[-1] == (end, end)


def test_two_schedulers_on_one_site_are_refused():
    both = [DropoutScheduler(0.1), DropoutScheduler(0.2, include="net.2")]
    with pytest.raises(ValueError, match=r"got 'net.2' in the groups 'all' of .* and 'net.2' of"):
        tiny.fit(both, module=NoStep())


def test_two_schedulers_on_two_groups():
    both = [DropoutScheduler(0.1, include="net.5"), DropoutScheduler(Linear(0, 0.4), "net.2")]
    look = Look()
    tiny.fit([*both, look])
    assert look.rates[-1] == (0.4, 0.1)
    assert len({scheduler.state_key for scheduler in both}) == 2


# State.


def test_state_is_plain_and_loads_with_weights_only(tmp_path):
    scheduler = DropoutScheduler({"net.2": Linear(0, 0.4), "net.5": Step((0.1, 0.2), at=(0.5,))})
    trainer = tiny.fit([scheduler], max_epochs=1)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    states = torch.load(tmp_path / "end.ckpt", weights_only=True)["callbacks"]
    assert states[scheduler.state_key] == {
        "version": 1,
        "batches_planned": 4,
        "rates": {"net.2": 0.4, "net.5": 0.2},
    }


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_a_state_of_another_version_is_refused(version):
    with pytest.raises(ValueError, match=r"state of DropoutScheduler in version 1, got version"):
        DropoutScheduler(0.1).load_state_dict({"version": version})


@pytest.mark.parametrize("epochs", [3, 6])
def test_resumed_the_rates_are_those_of_the_uninterrupted_run(tmp_path, epochs):
    whole, _ = run(DropoutScheduler(Linear(0.0, 0.4)), max_epochs=3)
    saved = [tiny.saver(tmp_path, filename="{epoch}") for _ in range(2)]
    tiny.fit([DropoutScheduler(Linear(0.0, 0.4)), saved[0]], max_epochs=3)
    look, again = Look(), DropoutScheduler(Linear(0.0, 0.4))
    look.rates = [None] * 4
    options = {"max_epochs": epochs, "ckpt_path": tmp_path / "epoch=0.ckpt"}
    if epochs == 3:
        tiny.fit([again, look, saved[1]], **options)
        assert look.rates[4:] == whole.rates[4:]
        return
    message = r"after 4 batches .* 24 batches, 12 before. The rates follow the new length"
    with pytest.warns(ThinnedWarning, match=message):
        tiny.fit([again, look, saved[1]], **options)
    assert [rate for rate, _ in look.rates[4:]] == pytest.approx(ramp(24)[4:])


def test_two_schedulers_resume_each_with_its_own_state(tmp_path):
    def both():
        return [
            DropoutScheduler(Step((0.1, 0.2), at=(0.5,)), "net.5"),
            DropoutScheduler(Linear(0.0, 0.4), "net.2"),
        ]

    whole, saved = Look(), [tiny.saver(tmp_path, filename="{epoch}") for _ in range(2)]
    tiny.fit([*both(), whole, saved[0]], max_epochs=2)
    look, again = Look(), both()
    look.rates = [None] * 4
    tiny.fit([*again, look, saved[1]], max_epochs=2, ckpt_path=tmp_path / "epoch=0.ckpt")
    assert look.rates[4:] == whole.rates[4:]
    assert [scheduler.state_dict()["rates"] for scheduler in again] == [
        {"net.5": 0.2},
        {"net.2": 0.4},
    ]


def test_callbacks_can_be_pickled_before_fit():
    scheduler = pickle.loads(pickle.dumps(DropoutScheduler({"net.2": Linear(0, 0.4)})))
    look, _ = run(scheduler)
    assert look.rates[-1] == (0.4, 0.5)


@dataclasses.dataclass(frozen=True)
class Squared(Profile):
    """A profile of somebody's own, in which the shares depend on the rate."""

    extra: int = 0
    factor: float = 1.0

    def rates(self, rate, widths):
        return (
            tuple(self.factor * rate**k for k in range(1, len(widths) + 1)) + (rate,) * self.extra
        )


def test_a_profile_of_ones_own_needs_no_shares():
    module = tiny.TinyModule()
    tiny.fit([DropoutScheduler(0.4, profile=Squared())], module=module)
    assert (module.net[2].p, module.net[5].p) == (0.4, 0.4**2)


@pytest.mark.parametrize(
    ("profile", "match"),
    [(Squared(extra=1), "each of 2 sites, got 3"), (Squared(factor=3.0), "in \\[0, 1\\], got 1.2")],
)
def test_a_profile_that_gives_no_rates_is_refused(profile, match):
    with pytest.raises(ValueError, match=match):
        tiny.fit([DropoutScheduler(0.4, profile=profile)])
