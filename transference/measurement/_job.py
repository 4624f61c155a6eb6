"""A measurement on its way to another process, which computes parts of it."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from transference.datasets import ImageDataset, Opened, PairedDataset, open_dataset, open_paired, tensors_of
from transference.devices import choose_device
from transference.errors import DataError, UsageError, first_line
from transference.executors import Packed
from transference.measurement._bench import Bench
from transference.measurement._provenance import check_same_code
from transference.measurement._question import Question
from transference.measurement._work import Work
from transference.samplers import FewShot, PairedFewShot
from transference.store import Store

_ALIKE = ("transference", "torch")
"""Packages that give other numbers in another version."""

_LARGE = 64 * 2**20
"""Bytes from which on it is told what travels."""


@dataclass(frozen=True)
class Job:
    """What a worker needs to know.

    Attributes:
        question: what is measured, its engine decided.
        folder: the run's.
        token: by which the folder is known, and not merely one of its name; None where nobody can tell.
        digest: of the spec.
        first_sources: loss and gradient norm of the first source at each checkpoint, as whoever began the run found
            them.
        threads: of torch.
    """

    question: Question
    folder: Path
    token: str | None
    digest: str
    first_sources: Mapping[int, Mapping[str, float]]
    threads: int

    def bench(self) -> Bench:
        """Set up, in the process that this was sent to, what computes parts.

        Raises:
            DataError: this process sees other data.
            SpecMismatchError: its learner gives other numbers.
        """
        question = replace(self.question, device=choose_device(self.question.device.type))
        if question.spec.digest != self.digest:
            raise DataError("the learner, the checkpoints or the data are not those that the run was begun with.")
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            work = Work(question, question.subjects(checked=False), Path(tempfile.gettempdir()))
        finally:
            torch.set_num_threads(before)
        check_same_code(self.first_sources, work.first_sources, str(self.folder))
        store = Store(self.folder)
        return Bench(work, store if self.token and store.is_held_by(self.token) else None, self.threads)

    def packed(self) -> tuple[Packed, str | None]:
        """Return the job as it travels, and what to say of it if it is large.

        Raises:
            UsageError: it holds what cannot travel.
        """
        from cloudpickle import Pickler

        class Sender(Pickler):  # type: ignore[misc]  # of a library without types
            """Sends data that can be opened anew as the way to open them."""

            def reducer_override(self, thing: Any) -> Any:  # noqa: ANN401 - of pickle
                return _way_to(thing) or super().reducer_override(thing)

        into = io.BytesIO()
        try:
            Sender(into).dump(self)
        except Exception as error:  # whatever a stranger's class may raise
            raise UsageError(
                f"The learner or a sampler cannot be sent to other processes ({first_line(error)}). Let it open files and "
                "the like when it is first used, or measure with --shard i/N, where every process makes its own."
            ) from error
        content = into.getvalue()
        size = f"{len(content) / 2**20:.0f} MiB"
        told = f"note: {size} travel to every worker; a sampler of your own may hold its data by their path instead"
        return Packed(content, {name: version(name) for name in _ALIKE}), told if len(content) > _LARGE else None


def _way_to(thing: object) -> tuple[Any, ...] | None:
    """Return how another process makes a sampler or a dataset, None where it is sent as it is."""
    if type(thing) is FewShot:
        who = thing.identity
        return _few_shot, (thing.dataset, who.ways, who.shots, who.queries, who.seed, who.rotated)
    if type(thing) is PairedFewShot:
        drawn = thing.identity.drawn
        return _paired, (thing.dataset, str(thing.identity.subset), drawn.ways, drawn.shots, drawn.queries, drawn.seed)
    if type(thing) is ImageDataset and thing.opened and thing.opened.gives([thing.images]):
        return _images, (thing.opened, thing.split, thing.images.device.type, thing.digest)
    if type(thing) is PairedDataset and thing.opened and thing.opened.gives(values := tensors_of(thing.values)):
        return _pairs, (thing.opened, thing.split, values[0].device.type, thing.digest)
    return None


def _few_shot(dataset: ImageDataset, ways: int, shots: int, queries: int, seed: int, rotated: bool) -> FewShot:
    return FewShot(dataset, ways=ways, shots=shots, queries=queries, seed=seed, rotated=rotated)


def _paired(dataset: PairedDataset, subset: str, ways: int, shots: int, queries: int, seed: int) -> PairedFewShot:
    return PairedFewShot(dataset, subset, ways=ways, shots=shots, queries=queries, seed=seed)


def _images(opened: Opened, split: str, device: str, digest: str) -> ImageDataset:
    found = open_dataset(
        f"{opened.name}:{opened.split}", data_root=opened.data_root, side=opened.side, channels=opened.channels
    )
    _check_digest(opened, found.digest, digest)
    return replace(found, split=split).to(device)


def _pairs(opened: Opened, split: str, device: str, digest: str) -> PairedDataset:
    found = open_paired(
        opened.name,
        opened.split,
        data_root=opened.data_root,
        side=opened.side,
        channels=opened.channels,
        shown=opened.shown,
    )
    _check_digest(opened, found.digest, digest)
    return replace(found, split=split).to(device)


def _check_digest(opened: Opened, found: str, wanted: str) -> None:
    """Make sure that what was opened is what was sent.

    Raises:
        DataError: it is not.
    """
    if found != wanted:
        raise DataError(
            f"{opened.name}:{opened.split} in {opened.data_root} holds other data (digest {found}) than where the run was "
            f"begun ({wanted}). Copy them there anew."
        )
