"""Summaries of a stored table. Nothing here loads a model or an image.

A share of positive or negative transfer depends strongly on the step size, so every summary is per step size.
"""

import lazy_loader

# Names, and where each is defined, stand in __init__.pyi. A file is imported when one of its names is first asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
