"""N-way K-shot tasks on paired data: a mode is a subset of the modalities, and the same index is the same examples in all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from transference.datasets.paired import PairedDataset, PairedReader
from transference.episodes import Episode
from transference.errors import UsageError
from transference.samplers._drawing import SHAPE, Draws, FewShotName
from transference.samplers._protocol import TaskRecord, check_replicate
from transference.samplers._subsets import Subset, choose_modalities, find_subset

_NAME = re.compile(rf"(?P<data>[\w.-]+)\[(?P<support>[^\[\]>:/]+)(>(?P<query>[^\[\]>:/]+))?\]:{SHAPE}")


@dataclass(frozen=True)
class PairedName:
    """The identity of a family of tasks on paired data; as text ``watch[accel+gyro]:train/5-way/1-shot/15-query/seed-0``.

    Attributes:
        subset: the modalities that tasks show.
        drawn: the tasks without them: data, split and numbers, by which classes and examples are drawn.
    """

    subset: Subset
    drawn: FewShotName

    @property
    def mode(self) -> str:
        """The data with the modalities, ``watch[accel+gyro]``."""
        return f"{self.drawn.mode}[{self.subset}]"

    def __str__(self) -> str:
        return f"{self.mode}{str(self.drawn).removeprefix(self.drawn.mode)}"

    @classmethod
    def parse(cls, text: str) -> PairedName:
        """Return the name whose text this is.

        Raises:
            UsageError: it is the text of no name.
        """
        match = _NAME.fullmatch(text)
        if not match:
            like = cls(Subset(("accel",), ("accel",)), FewShotName("watch", "train", 5, 1, 15, 0))
            raise UsageError(f"{text!r} is no name of tasks on paired data; one looks like {like}.")
        ways, shots, queries, seed = (int(match[key]) for key in ("ways", "shots", "queries", "seed"))
        support, query = (
            tuple(match[side].split("+")) for side in ("support", "query" if match["query"] else "support")
        )
        return cls(Subset(support, query), FewShotName(match["data"], match["split"], ways, shots, queries, seed))


class PairedFewShot:
    """Draws classes without replacement, and for each its support and query examples, all in the modalities asked for.

    Classes and examples are a function of (data, split, ways, shots, queries, seed, index) and never of the modalities: task 7 of
    ``watch[accel]``, of ``watch[*]`` and of ``watch[accel>gyro]`` are of the same classes and examples, row by row.

    Args:
        dataset: paired data, on the device where episodes are wanted.
        subset: the modalities, as in brackets: ``"accel"``, ``"accel+gyro"``, ``"*"`` for all, or ``"accel>gyro"`` for support in
            one and queries in the other.
        ways: classes per task.
        shots: support examples per class.
        queries: query examples per class.
        seed: one family of tasks per seed.

    Raises:
        UsageError: there is no such modality, ways, shots or queries are below one, or the seed below zero.
        DataError: there are fewer classes than ways, or a class has fewer examples than ``shots + queries``.

    Example:
        >>> from transference.datasets.paired import open_paired
        >>> tasks = PairedFewShot(open_paired("mix", "test"), "a>b", ways=3, shots=2, queries=5)
        >>> tasks.name
        'mix[a>b]:test/3-way/2-shot/5-query/seed-0'
        >>> tasks[0].describe()
        "support_x['a'] (6, 16) float32, support_y (6,) int64, query_x['b'] (15, 16) float32, query_y (15,) int64"
    """

    def __init__(
        self,
        dataset: PairedDataset,
        subset: str = "*",
        *,
        ways: int = 5,
        shots: int = 1,
        queries: int = 15,
        seed: int = 0,
    ) -> None:
        drawn = FewShotName(dataset.name, dataset.split, ways, shots, queries, seed)
        self.identity = PairedName(choose_modalities(dataset.name, dataset.modalities, subset), drawn)
        self.name = str(self.identity)
        self.digest = dataset.digest
        self.class_names = dataset.class_names
        self.modalities = dataset.modalities
        self._dataset = dataset
        self._draws = Draws(drawn, dataset.class_names, dataset.starts, dataset.ids, "examples")

    @property
    def dataset(self) -> PairedDataset:
        """What the episodes are drawn from."""
        return self._dataset

    def __getitem__(self, index: int) -> Episode[Mapping[str, Tensor]]:
        """Return task number ``index``, whose inputs are tensors by name, of one modality too.

        Each is float32, ``[ways*shots, …]`` in the support set and ``[ways*queries, …]`` in the queries; images are in [0, 1].

        Raises:
            IndexError: the index is negative.
        """
        return self._episode(self._draws.rows(index))

    def redraw(self, index: int, replicate: int = 1) -> Episode[Mapping[str, Tensor]]:
        """Return task number ``index`` with another draw of examples from the same classes, the same in all modalities.

        Args:
            index: the task's.
            replicate: which of its other draws, from 1.

        Raises:
            IndexError: the index is negative, or the replicate below 1.
        """
        check_replicate(replicate, self.name)
        return self._episode(self._draws.rows(index, replicate))

    def describe(self, index: int) -> TaskRecord:
        """Return classes and ids of the examples of task number ``index``."""
        return self._draws.record(index, self.identity.mode)

    def _episode(self, drawn: list[list[int]]) -> Episode[Mapping[str, Tensor]]:
        who, subset = self.identity.drawn, self.identity.subset
        device = next(iter(self._dataset.values.values())).device
        labels = torch.arange(who.ways, device=device)
        return Episode(
            self._inputs(subset.support, [row for rows in drawn for row in rows[: who.shots]]),
            labels.repeat_interleave(who.shots),
            self._inputs(subset.query, [row for rows in drawn for row in rows[who.shots :]]),
            labels.repeat_interleave(who.queries),
            mode=self.identity.mode,
        )

    def _inputs(self, names: Iterable[str], rows: list[int]) -> dict[str, Tensor]:
        """Return examples by modality."""
        values = {name: self._dataset.values[name] for name in names}
        chosen = {name: of.index_select(0, torch.tensor(rows, device=of.device)) for name, of in values.items()}
        return {name: of.float().div_(255.0) if of.dtype == torch.uint8 else of for name, of in chosen.items()}


def input_shapes(
    modes: Iterable[str], *, data_root: str | Path | None = None, side: int = 28, channels: int = 3
) -> dict[str, list[int]]:
    """Return the shape of one example of each modality that some modes show; modes that are not paired have none.

    Args:
        modes: with or without their splits.
        data_root: the folder with prepared files; not needed for generated data.
        side: pixels along each edge of an image.
        channels: 1 or 3.

    Returns:
        Shapes by name; those of one dataset are in its order.

    Raises:
        UsageError: a mode names modalities wrongly, or two datasets have unlike modalities of one name.
        DataError: the data are damaged.

    Example:
        >>> input_shapes(["mix[b]", "mix[a>b]:train", "strokes"])
        {'a': [16], 'b': [16]}
    """
    shown: dict[str, tuple[PairedReader, set[str]]] = {}
    for mode in modes:
        if found := find_subset(mode.partition(":")[0], data_root):
            reader, subset = found
            shown.setdefault(reader.name, (reader, set()))[1].update(subset.shown)
    shapes: dict[str, list[int]] = {}
    for reader, names in shown.values():
        for modality in reader.modalities:
            if modality.name not in names:
                continue
            shape = [channels, side, side] if modality.kind == "image" else [*modality.shape]
            if shapes.setdefault(modality.name, shape) != shape:
                raise UsageError(
                    f"The modality {modality.name} of {reader.name} has the shape {shape}, that of another dataset "
                    f"{shapes[modality.name]}; one learner takes only one of them. Choose modes of one of the two."
                )
    return shapes
