"""How the learners beside this room are meta-trained and tested.

The loop, the gradient of a meta-batch, the folder, the evaluation. It knows no paper: a learner says in a `Recipe` how
it is usually trained.
"""

import lazy_loader

# Names, and where each is defined, stand in __init__.pyi. A file is imported when one of its names is first asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
