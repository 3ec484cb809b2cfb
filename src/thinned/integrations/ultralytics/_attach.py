"""The one call: attach dropout to a YOLO object, and take it off again."""

from collections.abc import Iterable
from typing import Any

from thinned._checks import check_choice, check_rate
from thinned.integrations.ultralytics._attachment import EVENTS, Attachment
from thinned.integrations.ultralytics._places import layer_of
from thinned.schedules import as_schedule


def attach(
    model: Any,
    dropout: float | None = None,
    *,
    schedule: Any = None,
    sites: str | Iterable[str] = "auto",
    variant: str | None = None,
    every: str = "step",
    probe: float | None = 0.1,
) -> Attachment:
    r"""Make ``dropout=`` true for an Ultralytics model: YOLO26, 12, 11, v8, RT-DETR, every task.

    Nothing is changed at once, since Ultralytics builds the model that it trains anew in
    ``train()``. Callbacks are left on ``model``, and put the dropout on that new model when its
    training starts. The moving average, validation and every checkpoint stay clean: they load and
    predict where ``thinned`` is not installed.

    Args:
        model: the ``YOLO`` or ``RTDETR`` object. A second call replaces the first.
        dropout: a constant rate, in [0, 1]. Give this or ``schedule``.
        schedule: a schedule, a name, or any callable from progress to rate.
        sites: where. ``"modules"``: the model's own dropout modules (classifiers, RT-DETR);
            ``"residual"``: the residual branches; ``"neck"``: the maps of the neck; ``"head"``: the
            inputs of the head, for both of its branches alike; or glob patterns on module paths.
            Several may be given. ``"auto"`` takes the modules where there are any, else the
            residual branches.
        variant: what is dropped, by its name in ``thinned.layers.VARIANTS``. By default
            ``"drop_path"`` (stochastic depth) on residual branches, ``"spatial"`` elsewhere.
        every: set the rate at each ``"step"`` or ``"epoch"``.
        probe: share (float) or number (int) of training images on which the gap is measured
            each epoch; None measures nothing.

    Returns:
        The attachment: its ``report()`` says what was done, its ``history`` what was measured.

    Raises:
        TypeError: if ``model`` takes no callbacks, neither or both of ``dropout`` and
            ``schedule`` are given, or the variant cannot stand between modules.
        ValueError: if a rate is outside [0, 1], or a name is unknown.
        NoEffectError: when training starts, if no place is found.

    Example:
        >>> class YOLO:  # stands in for ultralytics.YOLO
        ...     def __init__(self):
        ...         self.callbacks = {}
        ...     def add_callback(self, event, function):
        ...         self.callbacks.setdefault(event, []).append(function)
        >>> model = YOLO()
        >>> attach(model, dropout=0.1)
        <Attachment: Constant(rate=0.1) at auto, not training yet>
        >>> detach(model)
        1
    """
    if not hasattr(model, "add_callback") or not isinstance(
        getattr(model, "callbacks", None), dict
    ):
        msg = f"Expected `model` to be an Ultralytics YOLO or RTDETR object, got {model!r:.200}."
        raise TypeError(msg)
    if (dropout is None) == (schedule is None):
        msg = (
            f"Expected either `dropout` or `schedule`, got dropout={dropout!r} and "
            f"schedule={schedule!r}. Write attach(model, dropout=0.1)."
        )
        raise TypeError(msg)
    rate = as_schedule(check_rate("dropout", dropout) if schedule is None else schedule)
    if variant is not None:
        layer_of(variant)
    attachment = Attachment(
        rate,
        sites=(sites,) if isinstance(sites, str) else tuple(sites),
        variant=variant,
        every=check_choice("every", every, ("step", "epoch")),
        probe=probe,
    )
    detach(model)
    for event in EVENTS:
        model.add_callback(event, getattr(attachment, event))
    return attachment


def detach(model: Any) -> int:
    """Take off what ``attach`` has left on a YOLO object.

    Args:
        model: the ``YOLO`` or ``RTDETR`` object.

    Returns:
        How many attachments were taken off: 0 or 1.
    """
    taken: set[int] = set()
    for functions in model.callbacks.values():
        for function in list(functions):
            owner = getattr(function, "__self__", None)
            if isinstance(owner, Attachment):
                functions.remove(function)
                owner.remove()
                taken.add(id(owner))
    return len(taken)
