"""Whether two sets of samples have one distribution."""

from scipy import stats


def assert_same_distribution(samples, others, level=1e-4):
    """Compare means, spreads, and each output's distribution, by tests at a fixed seed."""
    one, two = samples.flatten(1).double(), others.flatten(1).double()
    error = (one.var(0) / len(one) + two.var(0) / len(two)).sqrt() + 1e-9
    assert float(((one.mean(0) - two.mean(0)).abs() / error).max()) < 4.5
    ratio = (one.std(0) + 1e-6) / (two.std(0) + 1e-6)
    assert float((ratio.log()).abs().max()) < 0.35
    tested = [
        stats.ks_2samp(one[:, i], two[:, i], method="asymp").pvalue for i in range(one.shape[1])
    ]
    assert min(tested) > level
