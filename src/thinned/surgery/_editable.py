"""Which models may be edited: those that nobody has wrapped, compiled and run, or scripted yet."""

from types import CodeType

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel


def editable(model: nn.Module) -> nn.Module:
    """Return the module whose children can be edited, or raise with what to do instead.

    A model that was compiled and never run is edited below its wrapper.

    Raises:
        TypeError: if ``model`` is no module, or a scripted or traced one.
        RuntimeError: if it, or a part of it, is wrapped, or compiled and already run.
    """
    if not isinstance(model, nn.Module):
        msg = f"Expected `model` to be a torch.nn.Module, got {type(model).__name__}."
        raise TypeError(msg)
    for path, module in model.named_modules():
        where = f"`model.{path}`" if path else "the model"
        if isinstance(module, torch.jit.ScriptModule):
            msg = f"Expected a plain module, got {where} as a {type(module).__name__}: TorchScript "
            msg += "burns the rates in. Edit the Python module, then script that."
            raise TypeError(msg)
        if wrapper := _wrapper(module):
            msg = (
                f"Expected a model that is not wrapped yet, got {where} in {wrapper}, which holds "
            )
            msg += (
                "on to the modules as they are. Edit before wrapping: in Lightning in `setup` or "
            )
            msg += "`configure_model`, as our callbacks do; else before the call of the wrapper."
            raise RuntimeError(msg)
        if _compiled_and_run(module):
            msg = f"Expected a model that has not run compiled yet, got {where}, whose compiled "
            msg += "code would go on without the edit. Edit first and compile then, or call "
            msg += "`torch._dynamo.reset()` before the edit."
            raise RuntimeError(msg)
    inner = model
    while isinstance(inner, torch._dynamo.eval_frame.OptimizedModule):
        inner = inner._orig_mod
    return inner


def _wrapper(module: nn.Module) -> str | None:
    if isinstance(module, DistributedDataParallel | DataParallel):
        return type(module).__name__
    names = {base.__name__ for base in type(module).__mro__}
    if "FullyShardedDataParallel" in names:
        return "FullyShardedDataParallel"
    if "FSDPModule" in names:
        return "FSDP (fully_shard)"
    return None


def _compiled_and_run(module: nn.Module) -> bool:
    """Say whether compiled code exists for this module.

    Such code is kept with the function, so another instance of the class, compiled and run, is
    taken for this one: refused too often rather than edited without effect.
    """
    wrapped = isinstance(module, torch._dynamo.eval_frame.OptimizedModule)
    if not wrapped and module._compiled_call_impl is None:
        return False
    inner = module._orig_mod if wrapped else module
    return any(torch._dynamo.eval_frame._debug_get_cache_entry_list(code) for code in _codes(inner))


def _codes(module: nn.Module) -> list[CodeType]:
    functions = [type(module).forward, nn.Module._call_impl, nn.Module._wrapped_call_impl]
    return [f.__code__ for f in functions if hasattr(f, "__code__")]
