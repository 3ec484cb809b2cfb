"""Progress over the jobs of a multirun, with the time left."""

from typing import Any

from hydra.experimental.callback import Callback


class SweepProgress(Callback):
    """A bar over jobs."""

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        pass


def stop() -> None:
    """End the display, if there is one."""
