"""The clock of Lightning: callbacks decide when, the functions of the other rooms do the work."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
