"""Counts what pip-audit found, and what it could not ask about: it calls both a success.

python _audit.py FOUND.json REQUIREMENTS.txt SAID.txt
"""

import json
import sys
from pathlib import Path

CLEAN, KNOWN, NOT_ASKED = 0, 1, 3


def main(found: str, requirements: str, said: str) -> int:
    """Print the counts, and return the exit code."""
    wanted = [line for line in Path(requirements).read_text().splitlines() if line.strip()]
    try:
        rows = json.loads(Path(found).read_text())["dependencies"]
    except (OSError, ValueError, KeyError):
        rows = []
    asked = [row for row in rows if "skip_reason" not in row]
    bad = [(row, each) for row in asked for each in row.get("vulns", ())]
    for row, each in bad:
        fixed = ", ".join(each.get("fix_versions", ())) or "no version yet"
        print(f"{row['name']} {row['version']}: {each['id']}, fixed in {fixed}")
    print(
        f"{len(asked)} of {len(wanted)} packages were asked about, {len(bad)} vulnerabilities known"
    )
    if bad:
        return KNOWN
    if len(asked) < len(wanted):
        why = next((row["skip_reason"] for row in rows if "skip_reason" in row), "")
        words = why or Path(said).read_text().strip().rpartition("\n")[2] or "no answer in time"
        print(f"NOT AUDITED: {len(wanted) - len(asked)} packages, such as: {words}")
        return NOT_ASKED
    return CLEAN


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
