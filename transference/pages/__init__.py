"""What the pages of a run share: its facts in words, and the support sets of its tasks as pictures."""

from transference.pages.drawings import Drawing
from transference.pages.tasks import Points, SupportSets, Task, data_uri

__all__ = ["Drawing", "Points", "SupportSets", "Task", "data_uri"]
