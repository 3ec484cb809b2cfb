"""How much of a section is run: all of it, or just enough to see that it works."""

import dataclasses

RATES = (0.1, 0.3, 0.5, 0.7)  # the grid of every tuned arm, the same for each technique


@dataclasses.dataclass(frozen=True)
class Size:
    """Seeds and lengths; ``quick`` is for tests: its numbers mean nothing."""

    seeds: int = 10
    quick: bool = False

    def steps(self, number: int) -> int:
        """Return how many steps to train where a full run takes ``number``."""
        return 4 if self.quick else number

    def test(self, number: int = 800) -> int:
        """Return how many test samples there are."""
        return 50 if self.quick else number

    def few(self, values: tuple) -> tuple:
        """Return all values, or the first and the last one."""
        return (values[0], values[-1]) if self.quick and len(values) > 2 else values

    @property
    def rates(self) -> tuple[float, ...]:
        """The grid that a rate is chosen from."""
        return self.few(RATES)
