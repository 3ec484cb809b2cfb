"""The sums of training losses between two validations, and how they are resumed."""

from types import SimpleNamespace

import pytest
import torch

from thinned.callbacks._adaptive.two_losses import TwoLosses


def trainer(*, automatic=True, accumulate=1):
    module = SimpleNamespace(automatic_optimization=automatic)
    return SimpleNamespace(lightning_module=module, accumulate_grad_batches=accumulate)


def held(*outputs, name="loss", **options):
    """What is held after batches with these outputs."""
    made = TwoLosses("val_loss", name, "Asks")
    for each in outputs:
        made.add(trainer(**options), each)
    return made.state()


def test_losses_are_added_as_they_were_before_accumulation():
    half = {"loss": torch.tensor(0.5)}
    assert held(half, half) == [1.0, 2, None]
    assert held(half, accumulate=4) == [2.0, 1, None]
    assert held({"ce": 0.5, **half}, name="ce", accumulate=4) == [0.5, 1, None]


def test_the_loss_of_a_batch_is_the_mean_of_what_was_returned():
    assert held({"loss": torch.tensor([1.0, 3.0], requires_grad=True)}) == [2.0, 1, None]


def test_a_skipped_step_is_no_loss():
    assert held(None, {}, {"loss": None}) == [0.0, 0, None]


@pytest.mark.parametrize(
    ("outputs", "automatic", "name"), [({"loss": 1.0}, True, "ce"), ({}, False, "loss")]
)
def test_a_step_that_does_not_return_the_loss_is_an_error(outputs, automatic, name):
    with pytest.raises(ValueError, match=f"to return its loss under '{name}'"):
        held(outputs, automatic=automatic, name=name)


def test_sums_are_of_double_precision():
    tenth = torch.tensor(0.1)
    assert held({"loss": tenth}, {"loss": tenth}, {"loss": tenth})[0] == sum([tenth.item()] * 3)


def waiting():
    made = TwoLosses("val_loss", "loss", "Asks")
    made.add(trainer(), {"loss": torch.tensor(9.0)})
    return made


@pytest.mark.parametrize("rank", [0, 1])
def test_each_of_as_many_ranks_goes_on_from_its_own(rank):
    states, made = [[1.0, 2, None], [3.0, 4, 0.5]], waiting()
    made.restore(states, rank, 2)
    assert made.state() == states[rank]


@pytest.mark.parametrize(("rank", "sums"), [(0, [4.0, 6]), (1, [0.0, 0])])
def test_of_another_number_of_ranks_the_first_takes_all(rank, sums):
    made = waiting()
    made.restore([[1.0, 2, None], [3.0, 4, 0.5]], rank, 3)
    assert made.state() == [*sums, 0.5]


def test_what_is_forgotten_does_not_come_back():
    made = waiting()
    made.restore([[1.0, 2, 0.5]], 0, 1)
    made.add(trainer(), {"loss": torch.tensor(9.0)})
    made.forget()
    assert made.state() == [0.0, 0, None]
