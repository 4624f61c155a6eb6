"""The learners: a file is a paper; its docstring cites it and lists its deviations.

`train` meta-trains any of them, and any learner of yours that can begin from nothing; `evaluate` tests it.
"""

import lazy_loader

# Names, and where each is defined, stand in __init__.pyi. A file is imported when one of its names is first asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
