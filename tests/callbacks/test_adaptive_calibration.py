"""How much too large outputs are: the numbers, and the sums over batches that they come from."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch.nn import functional as F  # noqa: N812 - PyTorch's own habit

from thinned.callbacks._adaptive import calibration
from thinned.callbacks._adaptive.label_sums import ClassSums, NumberSums, readings

CLASSES = 5


def sure(count, too_sure, wrong=0.0, seed=0):
    """Logits, and labels drawn from what they say; the logits then times exp(too_sure)."""
    draw = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, CLASSES, generator=draw)
    labels = torch.multinomial(logits.softmax(-1), 1, generator=draw)[:, 0]
    hit = torch.rand(count, generator=draw) < wrong
    labels[hit] = torch.randint(CLASSES, (int(hit.sum()),), generator=draw)
    return logits * math.exp(too_sure), labels


def read(sums, *batches):
    for output, target in batches:
        sums.add(output, target)
    return sums.log_temperature(sums.state())


# Classes.


@pytest.mark.parametrize("too_sure", [-0.5, 0.0, 0.5, 1.2])
def test_the_temperature_of_many_labels_is_found(too_sure):
    assert read(ClassSums(1), sure(4000, too_sure)) == pytest.approx(too_sure, abs=0.1)


def test_it_is_near_the_one_with_the_lowest_loss():
    logits, labels = sure(300, 0.4, seed=3)
    tried = torch.linspace(-1, 2, 301)
    losses = [F.cross_entropy(logits / t.exp(), labels) for t in tried]
    best = tried[torch.stack(losses).argmin()].item()
    assert read(ClassSums(1), (logits, labels)) == pytest.approx(best, abs=0.15)


def test_few_labels_say_little():
    one = read(ClassSums(1), (torch.tensor([[9.0, 0.0]]), torch.tensor([1])))
    many = read(ClassSums(1), (torch.tensor([[9.0, 0.0]] * 50), torch.tensor([1] * 25 + [0] * 25)))
    assert 0 < one < 1 < many


def test_wrong_labels_count_for_less_than_errors_of_the_network(monkeypatch):
    noisy = sure(400, 0.0, wrong=0.3)
    found = read(ClassSums(1), noisy)
    monkeypatch.setattr(calibration, "_DOUBT", 0.0)
    plain = read(ClassSums(1), noisy)
    monkeypatch.setattr(calibration, "_DOUBT", 1.0)
    assert abs(read(ClassSums(1), noisy)) < 0.3  # with all its doubt it knows that they are wrong
    assert plain > 0.4
    assert found == pytest.approx((plain + read(ClassSums(1), noisy)) / 2)


def test_the_table_is_the_loss_with_wrong_labels():
    logits, labels = sure(20, 0.3)
    sums = ClassSums(1)
    sums.add(logits, labels)
    table = sums.state()[4] / 20
    for row, column in ((0, 0), (9, 2), (17, 6)):
        temperature = math.exp(calibration.LOG_TEMPERATURES[row])
        share = calibration.SHARES[column]
        p = (1 - share) * (logits / temperature).softmax(-1) + share / CLASSES
        expected = F.nll_loss(p.log(), labels)
        assert table[row, column].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("shape", "dim"), [((6, 5), 1), ((6, 5, 7), 1), ((6, 7, 5), 2), ((6, 5, 4, 3), 1)], ids=str
)
@pytest.mark.parametrize("ignored", [-100, 255])
def test_batches_dimensions_and_ignored_labels_add_up_to_the_cross_entropy(shape, dim, ignored):
    logits = torch.randn(shape)
    labels = torch.randint(5, shape[:dim] + shape[dim + 1 :])
    labels.view(-1)[::4] = ignored
    sums = ClassSums(dim)
    for part in (slice(0, 4), slice(4, 6)):
        sums.add(logits[part], labels[part])
    state = sums.state()
    both = [
        F.cross_entropy(logits[part].movedim(dim, 1), labels[part], ignore_index=ignored)
        for part in (slice(4), slice(4, 6))
    ]
    whole = F.cross_entropy(logits.movedim(dim, 1), labels, ignore_index=ignored)
    of_batches = (4 * both[0] + 2 * both[1]) / 6  # as Lightning does
    assert sums.losses(state) == pytest.approx([whole.item(), of_batches.item()], rel=1e-5)
    assert sums.classes == 5


def test_an_empty_batch_adds_nothing():
    logits, labels = sure(20, 0.3)
    sums, other = ClassSums(1), ClassSums(1)
    for part in (slice(0, 20), slice(20, 20)):
        sums.add(logits[part], labels[part])
    other.add(logits, labels)
    assert sums.log_temperature(sums.state()) == other.log_temperature(other.state())
    assert sums.losses(sums.state())[0] == other.losses(other.state())[0]


def test_language_models_tell_the_next_label():
    logits, labels = torch.randn(6, 7, 5), torch.randint(5, (6, 7))
    sums = ClassSums(2, shift=True)
    sums.add(logits, labels)
    expected = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    assert sums.losses(sums.state()) == pytest.approx([expected.item()] * 2, rel=1e-5)


def test_one_logit_of_two_classes():
    logits, labels = torch.randn(40), torch.randint(2, (40,)).float()
    sums = ClassSums(None)
    sums.add(logits, labels)
    expected = F.binary_cross_entropy_with_logits(logits, labels)
    assert sums.losses(sums.state())[0] == pytest.approx(expected.item(), rel=1e-5)
    two = torch.stack([torch.zeros(40), logits], -1)
    assert read(ClassSums(None), (logits, labels)) == pytest.approx(
        read(ClassSums(1), (two, labels.long())), rel=1e-6
    )


_NUMBERS = torch.randn(30, 3) * 2 + 5


@pytest.mark.parametrize(
    ("sums", "blind", "labels"),
    [
        (ClassSums(1), torch.zeros(30, 4), torch.randint(4, (30,))),
        (ClassSums(None), torch.zeros(30), torch.randint(2, (30,)).float()),
        (NumberSums(), _NUMBERS.mean(0).expand(30, 3), _NUMBERS),
    ],
    ids=["classes", "two", "numbers"],
)
def test_chance_is_the_loss_of_outputs_that_do_not_look_at_their_inputs(sums, blind, labels):
    for part in (slice(0, 10), slice(10, 30)):
        sums.add(blind[part], labels[part])
    state = sums.state()
    assert sums.chance_loss(state) == pytest.approx(sums.losses(state)[0], rel=1e-6)


def test_large_vocabularies_are_worked_on_in_parts(monkeypatch):
    logits, labels = sure(90, 0.5)
    whole = read(ClassSums(1), (logits, labels))
    monkeypatch.setattr("thinned.callbacks._adaptive.label_sums._NUMBERS", 8 * CLASSES)
    sums = ClassSums(1)
    part = read(sums, (logits, labels))
    assert sums.losses(sums.state())[0] == pytest.approx(F.cross_entropy(logits, labels).item())
    assert part == pytest.approx(whole, abs=0.3)  # of every twelfth row


@pytest.mark.parametrize("count", [1, 30, 400])
def test_the_log_temperature_is_the_posterior_mean_of_the_formula(count):
    """In probabilities, where the code has logarithms: normal prior, half of it on right labels."""
    tau = np.array(calibration.LOG_TEMPERATURES)
    shares = np.array(calibration.SHARES)
    losses = 1.0 + 0.1 * (tau[:, None] - 0.8 + 2.0 * shares) ** 2 - 0.05 * shares
    prior = np.exp(-((tau / 0.7) ** 2) / 2)[:, None] * np.where(shares == 0, 0.5, 0.5 / 6)
    posterior = prior * np.exp(-count * losses)
    right = posterior[:, 0] @ tau / posterior[:, 0].sum()
    both = posterior.sum(1) @ tau / posterior.sum()
    assert abs(right - both) > 1e-3
    found = calibration.of_labels(losses.tolist(), count)
    assert found == pytest.approx((right + both) / 2, rel=1e-9)
    assert calibration.of_labels(losses.tolist(), 10 * 400) == calibration.of_labels(
        losses.tolist(), 400
    )


# Numbers.


@pytest.mark.parametrize(("slope", "error"), [(0.5, 0.2), (1.4, 0.5), (-0.3, 0.4)])
def test_of_numbers_it_is_the_posterior_mean_of_a_slope_with_normal_error(slope, error):
    tau = np.array(calibration.LOG_TEMPERATURES)
    posterior = np.exp(-((tau / 0.7) ** 2) / 2 - ((slope - np.exp(-tau)) / error) ** 2 / 2)
    expected = posterior @ tau / posterior.sum()
    assert calibration.of_numbers(slope, error) == pytest.approx(expected, rel=1e-9)
    assert calibration.of_numbers(slope, 0.0) == calibration.of_numbers(slope, abs(slope) / 10)


def test_numbers_are_judged_by_the_calibration_slope():
    y = torch.randn(300, 1) + 40
    z = 40 + (y - 40) * 0.9 + torch.randn(300, 1)
    slope = LinearRegression().fit(z.numpy(), y.numpy()).coef_.item()
    sums = NumberSums()
    found = read(sums, (z[:100], y[:100]), (z[100:], y[100:]))
    assert found == pytest.approx(-math.log(slope), abs=0.1)
    assert sums.losses(sums.state())[0] == pytest.approx(F.mse_loss(z, y).item(), rel=1e-5)


def test_outputs_that_are_all_the_same_say_nothing():
    assert read(NumberSums(), (torch.ones(9), torch.randn(9))) == 0.0


def test_outputs_that_point_the_wrong_way_are_much_too_sure():
    y = torch.randn(200)
    assert 1.5 < read(NumberSums(), (-y, y)) <= 2.0


@pytest.mark.parametrize("unit", [1.0, 10.0])
def test_three_losses_give_the_bottom_of_a_parabola(unit):
    step = -math.log(calibration.SCALE)
    losses = [unit * (2 + (at - 0.3) ** 2) for at in (-step, 0.0, step)]
    assert calibration.of_three(*losses, 1e9, unit) == pytest.approx(-0.3, rel=0.01)


@pytest.mark.parametrize("count", [1, 10, 400, 1000])
def test_three_losses_of_few_examples_say_little(count):
    """The bottom of a parabola of curvature 2, and the prior of deviation 0.7 about 0."""
    step = -math.log(calibration.SCALE)
    losses = [2 + (at - 0.3) ** 2 for at in (-step, 0.0, step)]
    seen = 2 * min(count, 400)
    expected = -0.3 * seen / (seen + 1 / 0.49)
    assert calibration.of_three(*losses, count) == pytest.approx(expected, rel=1e-9)


def test_three_losses_without_a_bottom_stay_finite():
    for losses in ((1.0, 1.0, 1.0), (2.0, 1.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0)):
        assert abs(calibration.of_three(*losses, 50)) <= 2.0
    assert calibration.of_three(1.0, 0.0, 1.0, 50, unit=0.0) == 0.0


def test_three_losses_of_logits_agree_with_the_table():
    logits, labels = sure(2000, 0.3)
    scales = (calibration.SCALE, 1.0, 1 / calibration.SCALE)
    losses = [F.cross_entropy(logits * scale, labels).item() for scale in scales]
    assert calibration.of_three(*losses, 2000) == pytest.approx(
        read(ClassSums(1), (logits, labels)), abs=0.1
    )


# What the labels can be.


@pytest.mark.parametrize(
    ("output", "targets", "expected"),
    [
        ((8, 3), [("x", (8, 5)), ("i", (8,))], ["1 of dim 1"]),
        ((8, 3, 4), [("i", (8, 4))], ["0 of dim 1"]),
        ((8, 4, 3), [("i", (8, 4))], ["0 of dim 2", "0 of the next"]),
        ((8, 1, 3), [("i", (8, 1))], ["0 of dim 2"]),
        ((8, 4, 4), [("i", (8, 4))], ["0 of dim 1", "0 of dim 2", "0 of the next"]),
        ((8, 1), [("x", (8,))], ["0 numbers", "0 of two"]),
        ((8, 1), [("i", (8,))], ["0 of two"]),
        ((8,), [("i", (8,))], ["0 of two"]),
        ((8, 6), [("x", (8, 6)), ("i", (8,))], ["1 of dim 1", "0 numbers", "0 of two"]),
        ((8, 3), [("x", (8, 5)), ("i", (7,)), ("i", ())], []),
        ((8, 3), [], []),
    ],
    ids=str,
)
def test_readings(output, targets, expected):
    held = [torch.zeros(shape, dtype=torch.long if k == "i" else None) for k, shape in targets]
    assert list(readings(torch.zeros(output), held)) == expected


def test_readings_do_not_depend_on_values():
    for value in (0.0, 0.3, float("nan")):
        found = readings(torch.zeros(4, 1), [torch.full((4,), value)])
        assert list(found) == ["0 numbers", "0 of two"]


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_no_label_spoils_nothing(count):
    sums = ClassSums(None)
    sums.add(torch.randn(count), torch.full((count,), float(np.pi)))
    assert len(sums.losses(sums.state())) == 2
