"""Makes `dropout=` true for Ultralytics' YOLO and RT-DETR models.

Ultralytics is AGPL-3.0. It is not a dependency of ours, nothing of it is copied here, and importing
this package imports nothing of it: the classes are known by name, the model brings the library.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
