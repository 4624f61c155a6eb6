"""How a learner is evaluated on many episodes, and its gradients: several engines that agree, of which the fastest here is taken.

Which one that is depends on device, learner and image side: convolutions of large images want their channels last and a compiler to fuse
what lies between them, tiny networks want all episodes in one call. So it is measured (`trial`), briefly, on the learner's own episodes.
"""

import lazy_loader

# Names, and where each is defined, stand in __init__.pyi. A file is imported when one of its names is first asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
