"""Parts computed and published, wherever that is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa
import torch

from transference.devices import full_precision, undisturbed
from transference.measurement._work import Work
from transference.plan import Item, Part
from transference.store import Store


@dataclass(frozen=True)
class Answer:
    """What came of one part.

    Attributes:
        part: which.
        tables: its tables, for whoever publishes them; None where they are published.
        found: whether it was published before anybody worked on it here.
    """

    part: Part
    tables: tuple[pa.Table, ...] | None = None
    found: bool = False


@dataclass(frozen=True)
class Bench:
    """Computes the parts of an item, those that are not published yet.

    Attributes:
        work: computes.
        store: where parts are looked for and published; None where the folder cannot be seen.
        threads: of torch.
        begin: told of each part before it is computed.
    """

    work: Work
    store: Store | None
    threads: int
    begin: Callable[[Part], object] = lambda part: None

    def __call__(self, item: Item) -> Iterator[Answer]:
        """Yield an answer for each part.

        Yields:
            It when the part is published, or computed where it cannot be.
        """
        for part in item:
            if self.store and self.store.has(part):
                yield Answer(part, found=True)
                continue
            self.begin(part)
            tables = self._computed(part)
            if self.store:
                self.store.write(part, *tables)
            yield Answer(part, None if self.store else tables)

    def _computed(self, part: Part) -> tuple[pa.Table, ...]:
        with ExitStack() as stack:
            stack.enter_context(undisturbed())
            stack.enter_context(full_precision())
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(self.threads)
            return self.work.part(part)

    def close(self) -> None:
        """Let what is kept on disk go."""
        self.work.close()
