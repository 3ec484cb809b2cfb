"""The numbers of a section: made arm by arm, kept in one file, continued where they stopped."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Mapping

Row = dict[str, float]
Arms = Mapping[str, Callable[[int], Row]]


@dataclasses.dataclass
class Results:
    """Rows by arm and seed, and the seconds of one core that all of them took."""

    path: pathlib.Path
    arms: dict[str, list[Row]] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    seeds: int = 0
    finished: bool = False

    @classmethod
    def read(cls, path: pathlib.Path) -> "Results":
        """Read what is there; no file is an empty one."""
        if not path.exists():
            return cls(path)
        kept = json.loads(path.read_text())
        arms = {
            name: [dict(zip(arm["columns"], row, strict=True)) for row in arm["rows"]]
            for name, arm in kept["arms"].items()
        }
        return cls(path, arms, kept["seconds"], kept["seeds"], kept["finished"])

    def write(self) -> None:
        """Write all, with five digits of each number."""
        arms = {
            name: {
                "columns": list(rows[0]),
                "rows": [[_short(v) for v in r.values()] for r in rows],
            }
            for name, rows in self.arms.items()
            if rows
        }
        kept = {
            "seconds": round(self.seconds, 1),
            "seeds": self.seeds,
            "finished": self.finished,
            "arms": arms,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(kept, separators=(",", ":")).replace('"arms":', '"arms":\n')
        self.path.write_text(text.replace("]},", "]},\n") + "\n")

    def run(self, arms: Arms, seeds: int, tell: Callable[[str], None]) -> None:
        """Make what is missing."""
        self.seeds, self.finished = seeds, False
        for number, (name, make) in enumerate(arms.items(), 1):
            rows = self.arms.setdefault(name, [])
            began = time.process_time()
            for seed in range(len(rows), seeds):
                rows.append(make(seed))
            took = time.process_time() - began
            self.seconds += took
            self.write()
            tell(f"  {number}/{len(arms)} {name}: {took:.1f} s")
        self.finished = True
        self.write()

    def column(self, arm: str, key: str) -> dict[int, float]:
        """Return one number of an arm by seed."""
        return {seed: row[key] for seed, row in enumerate(self.arms[arm])}

    def tuned(self, family: str, by: str = "val_loss") -> dict[int, Row]:
        """Pick, for each seed by itself, the arm ``family/...`` with the lowest validation loss."""
        names = [name for name in self.arms if name.rpartition("/")[0] == family]
        found = {}
        for seed in range(self.seeds):
            best = min(names, key=lambda name: self.arms[name][seed][by])
            found[seed] = {**self.arms[best][seed], "choice": _number(best.rpartition("/")[2])}
        return found


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
