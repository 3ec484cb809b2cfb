"""Whether code runs under ``torch.func``: there values cannot be read, and some kernels lack."""

import torch


def under_transform() -> bool:
    """Say if a transform such as ``torch.func.vmap`` or ``torch.func.grad`` is running.

    Example:
        >>> under_transform()
        False
    """
    # torch has no public way to ask; the name is the one that torch's own autograd.Function uses.
    return torch._C._functorch.peek_interpreter_stack() is not None
