"""How well a table predicts training: predictions for training sets beside what retraining on them gave.

Sees tables alone: a table of trainings, as ``transference train --plan`` writes it or any of that shape, and predictors, which are
functions of a training set and a target, or tables. The smaller a prediction, and the smaller an outcome, the better.
"""

import lazy_loader

# Names, and where each is defined, stand in __init__.pyi. A file is imported when one of its names is first asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
