"""The measurement: the loop over checkpoints and tiles, and what one process holds to compute them.

An executor on another machine would build the same `Work` from the same spec and answer the same tiles.
"""

import lazy_loader

# Names, and where each is defined, stand in __init__.pyi. A file is imported when one of its names is first asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
