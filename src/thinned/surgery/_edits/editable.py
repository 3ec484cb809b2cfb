"""Which models may be edited: those that nobody has wrapped, compiled and run, or scripted yet."""

import re
from types import CodeType
from typing import Any

import torch
from torch import nn
from torch._dynamo.eval_frame import OptimizedModule, _debug_get_cache_entry_list
from torch._dynamo.external_utils import wrap_inline
from torch.nn.parallel import DataParallel, DistributedDataParallel

from thinned._checks import shown


def editable(model: Any) -> nn.Module:
    """Return the module whose children can be edited, or raise with what to do instead.

    A model that was compiled and never run is edited below its wrapper.

    Raises:
        TypeError: if ``model`` is no module, or a scripted or traced one.
        RuntimeError: if it, or a part of it, is wrapped, or compiled and already run.
    """
    require_module(model)
    for path, module in model.named_modules():
        where = f"`model.{path}`" if path else "the model"
        _refuse_script(module, where)
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
    inner: nn.Module = model
    while isinstance(inner, OptimizedModule):
        inner = inner._orig_mod
    return inner


def require_module(model: Any) -> None:
    """Raise a ``TypeError`` unless ``model`` is a module, and not TorchScript."""
    _refuse_script(model, "the model")
    if isinstance(model, nn.Module):
        return
    msg = f"Expected `model` to be a torch.nn.Module, got {shown(model, 80)}."
    if isinstance(model, type) and issubclass(model, nn.Module):
        msg += f" That is a class; give an instance, {model.__name__}(...)."
    raise TypeError(msg)


def _refuse_script(module: Any, where: str) -> None:
    if isinstance(module, torch.jit.ScriptModule):
        msg = f"Expected a plain module, got {where} as a {type(module).__name__}: TorchScript "
        msg += "burns the rates in. Change the Python module, then script that."
        raise TypeError(msg)


def _wrapper(module: nn.Module) -> str | None:
    if isinstance(module, DistributedDataParallel | DataParallel):
        return type(module).__name__
    names = {base.__name__ for base in type(module).__mro__}
    if "FullyShardedDataParallel" in names:
        return "FullyShardedDataParallel"
    return "FSDP (fully_shard)" if "FSDPModule" in names else None


def _compiled_and_run(module: nn.Module) -> bool:
    """Say whether compiled code exists that this module would use.

    Such code is kept with the function, and torch guards it by the types of the modules but not by
    their hooks: it may stem from another instance, and would run for this one all the same.
    """
    if not isinstance(module, OptimizedModule) and module._compiled_call_impl is None:
        return False
    while isinstance(module, OptimizedModule):
        module = module._orig_mod
    codes: list[tuple[CodeType | None, str]] = [
        (getattr(type(module).forward, "__code__", None), "self"),
        (wrap_inline(len).__code__, "fn"),  # in it torch compiles a forward of its own
    ]
    return any(
        _fits(entry, name, module)
        for code, name in codes
        if code is not None
        for entry in _debug_get_cache_entry_list(code)
    )


_TYPE_GUARD = re.compile(r"___check_type_id\(L\['(\w+)'\]((?:\._modules\['[^']+'\])*), (\d+)\)")


def _fits(entry: Any, name: str, module: nn.Module) -> bool:
    """Say whether a piece of compiled code was made for modules of these types."""
    for found in _TYPE_GUARD.finditer(str(entry.guard_manager)):
        if found[1] != name:
            continue
        held: nn.Module | None = module
        for child in re.findall(r"'([^']+)'", found[2]):
            held = None if held is None else held._modules.get(child)
        if id(type(held)) != int(found[3]):
            return False
    return True
