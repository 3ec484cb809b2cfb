"""Our own voice: one logger, quiet on every rank but the first."""

import logging
import os
import sys
from typing import TextIO

from thinned._checks import check_choice

logger = logging.getLogger("thinned")

# As Lightning asks for them: the first that is set.
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")

_LEVELS = {
    "quiet": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}


def is_first_rank() -> bool:
    """Say whether this process is the first of those that a launcher has numbered, or the only."""
    given = (os.environ.get(name) for name in _RANKS)
    return next(filter(None, given), "0") == "0"


class _FirstRankOnly(logging.Filter):
    """Lets a record through on rank 0 only, where a launcher has set a rank."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002  logging gives it
        """Say whether this process may speak."""
        return is_first_rank()


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to what is the standard error at that moment: notebooks and tests exchange it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        self.stream = sys.stderr
        super().emit(record)


def _set_up() -> None:
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter("thinned: %(message)s"))
    handler.addFilter(_FirstRankOnly())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


_set_up()


def set_verbosity(level: str) -> None:
    """Set how much we say in the terminal.

    Args:
        level: ``"quiet"`` (errors only), ``"warning"``, ``"info"`` (the default: what was found,
            set, inserted and concluded) or ``"debug"``.

    Raises:
        ValueError: if ``level`` is another word.

    Example:
        >>> set_verbosity("quiet")
        >>> set_verbosity("info")
    """
    logger.setLevel(_LEVELS[check_choice("level", level, _LEVELS)])
