"""How the learners beside this room are meta-trained and tested.

The loop, the gradient of a meta-batch, the folder, the evaluation. It knows no paper: a learner says in a `Recipe` how
it is usually trained.
"""

from meta_models.training._evaluation import evaluate, summary
from meta_models.training._folder import Folder
from meta_models.training._loop import Training, check_tasks, train
from meta_models.training._recipe import Recipe, recipe_of
from meta_models.training.gradients import BATCHINGS

__all__ = ["BATCHINGS", "Folder", "Recipe", "Training", "check_tasks", "evaluate", "recipe_of", "summary", "train"]
