"""The workers of a Dask cluster as an executor."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from distributed import Client, as_completed
from distributed.scheduler import KilledWorker

from transference.errors import ClusterError, first_line
from transference.executors._protocol import Packed
from transference.executors._worker import Delivery, unlike, work

_BARREN = 3
"""Times that the scheduler may give an item up in which nothing was finished meanwhile; before that it tries four workers each time."""

_LOST = (OSError, TimeoutError, CancelledError)
"""What is raised where the connection to a scheduler breaks."""

_GO_ON = "What was finished is kept: repeat the command to go on from here."


@dataclass(frozen=True)
class DaskCluster:
    """A cluster that one is connected to.

    Args:
        client: the connection.
        address: what it is called in messages.
        say: told of what one waits for.
        expected: workers that were asked for, if that is known.
    """

    client: Client
    address: str
    say: Callable[[str], object]
    expected: int = 0

    @property
    def n_workers(self) -> int:
        """Workers that there are, or will be."""
        return max(self.expected, self._here)

    @property
    def _here(self) -> int:
        return len(self.client.scheduler_info(n_workers=-1)["workers"])

    def await_workers(self) -> None:
        """Wait until there is a worker, however long that takes; of jobs that are queued it may be hours.

        Raises:
            ClusterError: the scheduler was lost.
        """
        with self._connected():
            if self._here:
                return
            self.say(f"{self.address} has no workers yet; waiting for the first (interrupt to stop waiting)")
            while not self._here:
                if self.client.status != "running":
                    raise ClusterError(self._lost("while no worker had come"))
                time.sleep(0.5)

    @contextmanager
    def employed(self, packed: Packed) -> Iterator[_Employed]:
        """Deliver a job to the workers, for as long as the block takes.

        Yields:
            What has them work.

        Raises:
            ClusterError: a worker has other versions than the run, or the scheduler was lost.
        """
        self._check_versions(packed)
        name = f"transference-{uuid.uuid4().hex}"
        with self._connected():
            self.client.register_plugin(Delivery(name, packed), name=name)
        try:
            yield _Employed(self, name)
        finally:
            if self.client.status == "running":
                with suppress(Exception):  # whatever ends the block is more important
                    self.client.unregister_worker_plugin(name)

    def _check_versions(self, packed: Packed) -> None:
        with self._connected():
            found = self.client.get_versions(packages=list(packed.versions))["workers"]
            threads = {one["nthreads"] for one in self.client.scheduler_info(n_workers=-1)["workers"].values()}
        for address, told in found.items():
            if told and (wrong := unlike(packed.versions, told["packages"])):
                raise ClusterError(f"The worker {address} has {wrong}. Install the same on all.")
        if max(threads, default=1) > 1:
            self.say(
                f"note: workers of {self.address} have up to {max(threads)} threads, of which one is used: a process works "
                "on an item at a time. Start more workers with --nthreads 1"
            )

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Say in one line that the scheduler was lost, if it is.

        Raises:
            ClusterError: it was.
        """
        try:
            yield
        except _LOST as error:
            broken = isinstance(error, CancelledError)  # it names a future, which says nothing to anybody
            raise ClusterError(self._lost("the connection broke" if broken else first_line(error))) from error

    def _lost(self, why: str) -> str:
        return f"The scheduler {self.address} was lost ({why}). {_GO_ON}"


class _Employed:
    """An executor: the workers, once they have a job."""

    def __init__(self, cluster: DaskCluster, name: str) -> None:
        self._cluster, self._name = cluster, name

    def carry_out(self, items: Sequence[Any], progress: Callable[[Any], int]) -> Iterator[Any]:
        """Yield the answers to all items, as they come.

        Raises:
            ClusterError: the scheduler was lost, or workers died again and again at one item.
            TransferenceError: an item failed.
        """
        with self._cluster._connected():
            open_items = {self._submit(item): (item, 0, 0) for item in items}
            done = as_completed(list(open_items), loop=self._cluster.client.loop)
        try:
            while open_items:
                with self._cluster._connected():
                    future = next(done)
                item, before, barren = open_items.pop(future)
                try:
                    with self._cluster._connected():
                        answers = future.result()
                except KilledWorker as error:
                    now = progress(item)
                    barren = 0 if now > before else barren + 1
                    if barren >= _BARREN:
                        raise ClusterError(_died(error)) from error
                    again = self._submit(item)
                    open_items[again] = item, now, barren
                    done.add(again)
                    continue
                future.release()
                yield from answers
        finally:
            if open_items:  # something failed, or nobody wants the rest
                with suppress(Exception):
                    self._cluster.client.cancel(list(open_items), force=True)

    def _submit(self, item: Any) -> Any:  # noqa: ANN401 - a future of a library without types
        return self._cluster.client.submit(
            work, self._name, item, key=f"item-{uuid.uuid4().hex}", pure=False, retries=0
        )


def _died(error: KilledWorker) -> str:
    last = getattr(error, "last_worker", None)
    return (
        f"Workers died again and again at one item, the last {getattr(last, 'address', last)}. Did their memory run out? "
        f"Give each more, or take fewer targets a tile (--tile, in another --out). {_GO_ON}"
    )
