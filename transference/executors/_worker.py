"""What runs on a worker: it sets a bench up once, and works on items there."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

from transference.devices import keep_freed_memory
from transference.errors import ClusterError, TransferenceError, first_line
from transference.executors._protocol import Bench, Packed

_jobs: dict[str, Packed] = {}
"""What was delivered to this process, by name."""

_open: dict[str, Bench] = {}
"""The bench that is set up; one at a time."""

_at_work = threading.Lock()
"""Settings of torch are those of the whole process, so that a worker with several threads works on one item at a time."""


class Delivery(WorkerPlugin):  # type: ignore[misc]  # of a library without types
    """Brings a job to every worker, once, also to those that come later.

    Args:
        name: of the job.
        packed: the job.
    """

    def __init__(self, name: str, packed: Packed) -> None:
        self.name, self._packed = name, packed

    def setup(self, worker: Worker) -> None:
        """Keep the job; it is opened when the first item comes."""
        del worker
        _jobs[self.name] = self._packed

    def teardown(self, worker: Worker) -> None:
        """Let the job go."""
        del worker
        _jobs.pop(self.name, None)
        if _at_work.acquire(blocking=False):  # else an item that nobody waits for any more ends soon
            try:
                _close(self.name)
            finally:
                _at_work.release()


def work(name: str, item: Any) -> list[Any]:  # noqa: ANN401 - whatever the work is
    """Return the answers to an item of the job of this name."""
    answers = []
    with _at_work:
        for answer in _bench(name)(item):
            answers.append(answer)
            if name not in _jobs:  # nobody waits for the rest
                _close(name)
                break
    return answers


def _bench(name: str) -> Bench:
    if name not in _open:
        for other in list(_open):
            _close(other)
        keep_freed_memory()
        _open[name] = _set_up(_jobs[name])
    return _open[name]


def _close(name: str) -> None:
    if bench := _open.pop(name, None):
        bench.close()


def _set_up(packed: Packed) -> Bench:
    """Return the bench of a job.

    Raises:
        ClusterError: this worker has other versions, or lacks a module that the job needs.
        TransferenceError: it lacks data; the message says whose worker it is.
    """
    here = get_worker().address
    if wrong := unlike(packed.versions, {name: _version(name) for name in packed.versions}):
        raise ClusterError(f"The worker {here} has {wrong}. Install the same on all.")
    try:
        job = pickle.loads(packed.content)
        bench: Bench = job.bench()
    except ImportError as error:
        raise ClusterError(
            f"The worker {here} cannot import what the run needs: {first_line(error)}. Install it there, or start the worker in the folder "
            "where it lies."
        ) from error
    except TransferenceError as error:
        raise type(error)(f"On the worker {here}: {error}") from error
    return bench


def unlike(asked: Mapping[str, str], found: Mapping[str, str | None]) -> str:
    """Return in words which versions differ, nothing if none does."""
    return ", ".join(
        f"{name} {found.get(name) or 'not installed'} where the run has {wanted}"
        for name, wanted in asked.items()
        if found.get(name) != wanted
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
