"""Where the sections of `scripts/evidence` are."""

from pathlib import Path

import thinned

SCRIPTS = Path(thinned.__file__).parents[2] / "scripts"
SECTIONS = sorted(p.stem for p in (SCRIPTS / "evidence_sections").glob("[!_]*.py"))
