"""On which task did the learner fail?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from transference.devices import out_of_memory
from transference.errors import LearnerError
from transference.learners import EpisodeError, told
from transference.measurement._tasks import Drawn

_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What is raised on the way to a learner and back: compiled, batched, or in its gradient."""


@contextmanager
def blamed(role: str, tasks: Drawn, step: int, after: Callable[[], str] = str) -> Iterator[None]:
    """Say of a failure inside the block on which task it was, and at which checkpoint.

    Args:
        role: of the tasks, ``"source"`` or ``"target"``.
        tasks: those that the learner is asked about.
        step: the checkpoint's.
        after: returns what else there is to say, such as whose step was taken; called when something failed.

    Raises:
        LearnerError: the learner failed; its cause is what the learner raised.
    """
    try:
        yield
    except EpisodeError as error:
        raise LearnerError(_message(str(error), role, tasks, step, after(), error)) from error.__cause__ or error
    except _FAILURES as error:
        if out_of_memory(error):
            raise
        raise LearnerError(_message(told(error), role, tasks, step, after())) from error


def _message(what: str, role: str, tasks: Drawn, step: int, after: str, error: EpisodeError | None = None) -> str:
    found = [place for place, episode in enumerate(tasks) if error and error.is_on(episode)]
    ends = dict.fromkeys((tasks.tell(0), tasks.tell(len(tasks) - 1)))
    which = f"{role} task {tasks.tell(found[0])}" if found else f"one of the {role} tasks {' to '.join(ends)}"
    return (
        f"The learner failed on {which} at checkpoint step {step}{after}: {what}. "
        "What was finished is kept: mend it, and repeat the command to go on from here."
    )
