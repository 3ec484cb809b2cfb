"""What LightningCLI hands over where it could not build a schedule: the path, and values."""

import inspect
from collections.abc import Mapping
from typing import Any

from thinned._checks import check_choice, shown

from ._base import Schedule
from ._registry import SCHEDULES


def class_path(value: Any) -> str | None:
    """Return the path in a dict or jsonargparse's namespace of ``class_path`` and ``init_args``."""
    found = (value if isinstance(value, Mapping) else _items(value)).get("class_path")
    return found if isinstance(found, str) else None


def build(value: Any) -> Schedule:
    """Build it here, where what is wrong can be told.

    Raises:
        ValueError: if the path is that of no schedule of ours, or the arguments are not the class's
            own.
    """
    given = value if isinstance(value, Mapping) else _items(value)
    classes = {f"thinned.schedules.{cls.__name__}": cls for cls in SCHEDULES.values()}
    args = given.get("init_args") or {}
    args = dict(args) if isinstance(args, Mapping) else _items(args)
    path = given["class_path"]
    if not path.startswith("thinned."):  # it is somebody's own, which is not imported here
        msg = f"Expected `class_path` and `init_args` of a schedule, got {path} with {shown(args)}."
        raise ValueError(
            f"{msg} See whether the class takes them, and is a thinned.schedules.Schedule."
        )
    check_choice("class_path", path, classes)
    try:
        return classes[path](**args)
    except (TypeError, ValueError) as error:
        takes = ", ".join(inspect.signature(classes[path]).parameters)
        msg = (
            f"Expected `init_args` to be those of {path}, got {shown(args)}: "
            f"{str(error).rstrip('.')}. It takes {takes}."
        )
        raise ValueError(msg) from error


def _items(value: Any) -> dict[str, Any]:
    return dict(getattr(value, "__dict__", {}))
