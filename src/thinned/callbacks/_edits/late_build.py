"""Models that are built after the callbacks' ``setup``: which they are, and how to come after."""

from collections.abc import Callable
from typing import Any

from thinned.callbacks._lightning.trainer import NAMESPACES


def builds_late(module: Any) -> bool:
    """Say whether a module may build its model after the callbacks' ``setup``."""
    return any(
        getattr(type(module), hook) is not getattr(base, hook)
        for base in _bases(module)
        for hook in ("setup", "configure_model")
    )


def after_build(module: Any, function: Callable[[], None]) -> Callable[[], None]:
    """Call a function when Lightning has built the model: after the module's ``configure_model``.

    No callback is asked between that and the wrapping. So the module gets, for this one call, a
    ``configure_model`` of its own, which removes itself first; nested calls run in their order.

    Returns:
        What calls it off, where the model is never built.
    """
    before = vars(module).get("configure_model")
    build = module.configure_model
    called_off = False

    def put_back() -> None:
        if before is None:
            vars(module).pop("configure_model", None)
        else:
            module.configure_model = before

    def configure_model() -> None:
        put_back()
        build()
        if not called_off:
            function()

    def call_off() -> None:
        nonlocal called_off
        called_off = True
        if vars(module).get("configure_model") is configure_model:
            put_back()

    module.configure_model = configure_model
    return call_off


def _bases(module: Any) -> list[type]:
    """Return Lightning's own class among a module's bases."""
    packages = tuple(f"{name}." for name in NAMESPACES)
    named = (cls for cls in type(module).__mro__ if cls.__name__ == "LightningModule")
    return [cls for cls in named if cls.__module__.startswith(packages)]
