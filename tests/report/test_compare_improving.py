"""A comparison of runs that were still getting better says so, before anybody chooses by it."""

from helpers import records
from thinned.report import compare

STEADY = (2.0, 1.0, 0.61, 0.6, 0.6)


def sweep(root, arms):
    for value, curve in arms.items():
        for seed in (1, 2, 3):
            records.write_run(
                root / f"{value}-{seed}",
                [loss + 0.01 * seed * (value != "none") for loss in curve],
                seed=seed,
                overrides=[f"schedule={value}", f"seed={seed}"],
                config={"schedule": value, "seed": seed},
                rates=False,
            )
    return compare(root)


def test_where_all_were_getting_better_they_are_to_train_longer(tmp_path):
    found = sweep(tmp_path, {"none": (2.0, 1.8, 1.6), "cosine": (2.1, 2.0, 1.9)})
    assert (
        "Still getting better at the end: schedule=none, schedule=cosine. Longer runs may change "
        "the order." in found.evidence
    )
    assert found.action.startswith("Train longer first, and compare again. As it stands: Leave it")


def test_where_one_was_it_is_named_and_the_advice_stands(tmp_path):
    found = sweep(tmp_path, {"none": STEADY, "cosine": (2.0, 1.8, 1.6, 1.4, 1.2)})
    early = [line for line in found.evidence if line.startswith("Still getting better")]
    assert early == [
        "Still getting better at the end: schedule=cosine. Longer runs may change the order."
    ]
    assert "Train longer" not in found.action


def test_a_last_step_of_little_is_no_news(tmp_path):
    creeping = (2.0, 1.0, 0.6, 0.59, 0.58)
    found = sweep(tmp_path, {"none": creeping, "cosine": STEADY})
    assert not [line for line in found.evidence if "Still" in line]
