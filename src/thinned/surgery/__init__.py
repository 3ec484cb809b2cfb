"""Where: find the places that hold a rate, set them, swap and insert layers, undo it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
