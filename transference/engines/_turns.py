"""One learner for several threads."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from transference.devices import n_workers
from transference.learners._protocol import Learner


class InTurns:
    """A learner that several threads may call at once: each has a copy for the time of its call.

    Many a learner puts its parameters into a module while it is called (``torch.func.functional_call`` does), and two calls at once would
    compute with each other's. A learner that cannot be copied is called by one thread after the other.

    Args:
        learner: the learner; its copies are as many as there are workers.
    """

    def __init__(self, learner: Learner) -> None:
        self.all = [learner]
        """The learner and its copies."""
        for _ in range(n_workers() - 1):
            try:
                self.all.append(copy.deepcopy(learner))
            except Exception:  # whatever stands in the way of a copy, they take turns
                break
        self._idle: SimpleQueue[Learner] = SimpleQueue()
        for one in self.all:
            self._idle.put(one)

    @contextmanager
    def one(self) -> Iterator[Learner]:
        """Provide a copy that no other thread has.

        Yields:
            The copy.
        """
        learner = self._idle.get()
        try:
            yield learner
        finally:
            self._idle.put(learner)
