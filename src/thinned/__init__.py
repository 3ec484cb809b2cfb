"""Schedule dropout rates, swap layer variants and measure overfitting in PyTorch Lightning.

Nothing heavy is imported until one of its names is used (PEP 562); what each name is, and from
where it comes, stands in ``__init__.pyi``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
