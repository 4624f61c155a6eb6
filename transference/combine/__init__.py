"""Ways to combine the gradients of several tasks into one step: a file each, one seam (`Combination`).

It serves the source side of a measurement (``compute --combine``) and the outer step of training (``train --combine``) alike,
for modalities of one dataset and for modes of several.
"""

import lazy_loader

# Names, and where each is defined, stand in __init__.pyi. A file is imported when one of its names is first asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
