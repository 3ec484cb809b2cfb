"""Run a model once on an example, in evaluation mode, to see what flows where."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_leaves, tree_map_only

from .state import untouched

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def as_arguments(example_input: Any, model: nn.Module) -> Arguments:
    """Return the arguments that an example input stands for, on the model's device.

    Args:
        example_input: a tensor, a tuple of positional arguments, or a mapping of named ones.
        model: the model that will be called with them.

    Raises:
        ValueError: if it holds tensors, and all of them are empty: nothing would be seen to act.
    """
    if isinstance(example_input, Mapping):
        found: Arguments = (), {str(name): value for name, value in example_input.items()}
    elif isinstance(example_input, tuple) and not isinstance(example_input, PackedSequence):
        found = example_input, {}
    else:
        found = (example_input,), {}
    tensors = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor) and leaf.dim()]
    if tensors and not any(tensor.numel() for tensor in tensors):
        given = ", ".join(f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in tensors)
        msg = f"Expected `example_input` to hold a sample at least, got only {given}."
        raise ValueError(msg)
    device = next((t.device for t in (*model.parameters(), *model.buffers())), None)
    if device is not None:
        found = tree_map_only(Tensor, lambda tensor: tensor.to(device), found)
    return found


def fresh(value: Any) -> Any:
    """Return arguments with copies of their tensors, for one run: a forward may write into them.

    A tensor that was given twice is one tensor again.
    """
    made: dict[int, Tensor] = {}

    def copied(tensor: Tensor) -> Tensor:
        if id(tensor) not in made:
            made[id(tensor)] = tensor.detach().clone().requires_grad_(tensor.requires_grad)
        return made[id(tensor)]

    return tree_map_only(Tensor, copied, value)


def run_example(model: nn.Module, arguments: Arguments) -> Any:
    """Run ``model`` once, inside :func:`evaluated`.

    Raises:
        ValueError: if the model cannot be run on it; the message holds the cause.
    """
    args, kwargs = arguments
    try:
        return model(*args, **kwargs)
    except Exception as error:
        raise does_not_run(model, arguments, error) from error


def does_not_run(model: nn.Module, arguments: Arguments, error: Exception) -> ValueError:
    """Return the error for a model that cannot be run on an example, with the cause."""
    given = tree_map_only(Tensor, lambda t: f"{t.dtype} {tuple(t.shape)}", arguments)
    msg = f"Expected `example_input` to run through {type(model).__name__}, got "
    msg += f"{type(error).__name__}: {error}. It was called with {given}. Give what its "
    msg += "forward takes: a tensor, a tuple of arguments, or a dict of named ones."
    return ValueError(msg)


@contextlib.contextmanager
def evaluated(model: nn.Module, arguments: Arguments) -> Iterator[None]:
    """Set the model to evaluation without gradients, and put all back as it was.

    Raises:
        ValueError: if the model has lazy parameters, which running it would make.
    """
    if any(is_lazy(parameter) for parameter in model.parameters()):
        msg = "Expected a model whose parameters exist, got lazy ones. Run it once before."
        raise ValueError(msg)
    fast = torch.backends.mha.get_fastpath_enabled()
    with untouched(model, arguments), torch.no_grad():
        try:
            torch.backends.mha.set_fastpath_enabled(False)  # one operation, with nothing to see
            for module in model.modules():
                module.training = False  # not `.eval()`, which a model may have given a meaning
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
