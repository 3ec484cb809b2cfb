"""What every component of the configuration takes, as ``scripts/schemas`` read it off the code."""

import json
from pathlib import Path
from typing import Any

from ._fields import Field


def _load() -> dict[str, dict[str, Field]]:
    text = Path(__file__).with_name("schemas.json").read_text(encoding="utf-8")
    return {
        target: {name: Field(**_tuples(row)) for name, row in rows.items()}
        for target, rows in json.loads(text).items()
    }


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


SCHEMAS = _load()
