"""What callbacks keep in a checkpoint: plain types and a version."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

VERSION = 1


def plain_state(**values: Any) -> dict[str, Any]:
    """Return a state of plain types, which loads with ``weights_only=True``."""
    return {"version": VERSION, **values}


def read_state(state: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a state if this version can read it.

    Raises:
        ValueError: if it was written by another version.
    """
    found = state.get("version") if isinstance(state, Mapping) else None
    if found != VERSION:
        msg = (
            f"Expected the state of {name} in version {VERSION}, got version {found!r}. "
            "Resume with the version of thinned that wrote the checkpoint, or load its weights "
            "only: `model.load_state_dict(torch.load(path)['state_dict'])`."
        )
        raise ValueError(msg)
    return state


@contextmanager
def reading(state: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Read a state; what one of another form raises becomes one sentence."""
    known = read_state(state, name)
    try:
        yield known
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        msg = (
            f"Expected the state of {name} in the form that version {VERSION} has, got another "
            f"({error!r}). The checkpoint was changed, or is not of {name}; load its weights only."
        )
        raise ValueError(msg) from error
