"""Loads torch-uncertainty's metrics of classification, and nothing else of it.

The packages above them import Lightning's command line, and their plots seaborn, which the numbers
do not need: so empty modules stand in their place while they are imported.
"""

import importlib
import importlib.metadata
import sys
import types
from pathlib import Path


def load() -> types.ModuleType:
    """Return the module ``torch_uncertainty.metrics.classification``."""
    root = Path(str(importlib.metadata.distribution("torch-uncertainty").locate_file("")))
    for name in ("torch_uncertainty", "torch_uncertainty.metrics"):
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")))]
        sys.modules.setdefault(name, package)
    empty = types.ModuleType("seaborn")
    there = sys.modules.setdefault("seaborn", empty)
    try:
        return importlib.import_module("torch_uncertainty.metrics.classification")
    finally:
        if there is empty:  # whoever asks for it later should not find it
            del sys.modules["seaborn"]
