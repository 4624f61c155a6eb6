"""Reading and writing the files of a run folder.

``run.json``, ``tasks.parquet``, and under ``pairs/``, ``sources/``, ``self_transference/`` and ``controls/`` one folder per checkpoint. A
file is written aside, fsynced and renamed: under its final name it is whole, and a killed run leaves nothing behind that could be mistaken
for a result.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from transference.errors import SpecMismatchError, StoreError
from transference.files import write_aside
from transference.plan import Part, Shard, parts_of
from transference.spec import RunSpec
from transference.store._about import FORMAT, read_about
from transference.store._files import TableFile, read_in_turn
from transference.store._layout import FOLDERS, Layout, folders_of
from transference.store._lock import (
    Patience,
    is_held_by,
    is_lock,
    one_beginner,
    one_of_a_shard,
    one_writer,
    shards_at_work,
)
from transference.store._schema import PAIRS
from transference.store._sound import SOUND, read_unread
from transference.store._view import VIEW, view_of

_BEGUN = ("tasks.parquet", "run.json")
"""What a run that was killed while it claimed its folder may have left, whole or aside."""


class Store:
    """One run folder.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._layout: Layout | None = None

    @property
    def run_json(self) -> Path:
        """The file with the spec and how it was run."""
        return self.path / "run.json"

    def check(self, spec: RunSpec) -> bool:
        """Return whether the folder holds a run of ``spec``, or one that may grow into it; False means that it is free.

        Raises:
            SpecMismatchError: the folder holds a run of another spec.
            StoreError: the folder holds something else.
        """
        if self.run_json.exists():
            differences = self.spec().differences(spec)
            if differences and not self._may_grow_into(spec):
                lines = "\n  ".join(differences)
                raise SpecMismatchError(
                    f"{self.path} holds a run of another spec. What it was → what was asked now:\n  {lines}\n"
                    "Choose a new --out, or repeat the command stored in run.json."
                )
            return True
        if self.path.exists() and not self.path.is_dir():
            raise StoreError(f"{self.path} is a file; choose a new --out.")
        if self.path.exists() and not all(_may_be_there(child.name) for child in self.path.iterdir()):
            if self.run_json.exists():  # another process began the run, and went on, since we looked
                return self.check(spec)
            raise StoreError(f"{self.path} exists and is no run folder; choose a new --out.")
        return False

    def begin(self, spec: RunSpec, about: Mapping[str, Any]) -> None:
        """Claim a free folder for ``spec``; of several that try at once, one is the first.

        Args:
            spec: the measurement.
            about: versions, threads, device, command, for the reader and for whoever resumes the run.

        Raises:
            SpecMismatchError: a run of another spec was begun there meanwhile.
        """
        content = {"format": FORMAT, "digest": spec.digest, "spec": spec.to_json(), **about}
        try:
            write_aside(
                self.run_json, lambda aside: aside.write_text(json.dumps(content, indent=2) + "\n"), exclusive=True
            )
        except FileExistsError:
            self.check(spec)

    def grow(self, spec: RunSpec, about: Mapping[str, Any]) -> None:
        """Take further checkpoints into the run that the folder holds; what it has of the others stays.

        Args:
            spec: the measurement with all checkpoints.
            about: what replaces what run.json says; of its checkpoints, those of the same step.

        Raises:
            SpecMismatchError: the run cannot grow into this one.
        """
        self.check(spec)
        before = self.about()
        known = {c["step"]: c for c in (*before.get("checkpoints", []), *about.get("checkpoints", []))}
        checkpoints = [known[ref.step] for ref in spec.checkpoints if ref.step in known]
        self._rewrite({**before, **about, "checkpoints": checkpoints}, spec)

    def shrink(self, steps: Collection[int]) -> None:
        """Let checkpoints go: first run.json forgets them, then their files are removed; without any the folder is free again.

        Whatever moment it is killed at, the folder holds a run that goes on or is let go again.
        """
        before, spec = self.about(), self.spec()
        left = tuple(ref for ref in spec.checkpoints if ref.step not in steps)
        if left:
            told = [c for c in before.get("checkpoints", []) if c["step"] not in steps]
            self._rewrite({**before, "checkpoints": told}, dataclasses.replace(spec, checkpoints=left))
        for step in steps:
            self.clear(step)
        if not left:
            for folder in FOLDERS:
                shutil.rmtree(self.path / folder, ignore_errors=True)
            for name in ("tasks.parquet", VIEW, SOUND, self.run_json.name):
                (self.path / name).unlink(missing_ok=True)
            self._layout = None

    def clear(self, step: int) -> None:
        """Remove the files of one checkpoint."""
        for folder in folders_of(self.path, step):
            shutil.rmtree(folder, ignore_errors=True)

    def _rewrite(self, about: Mapping[str, Any], spec: RunSpec) -> None:
        content = {**about, "digest": spec.digest, "spec": spec.to_json()}
        write_aside(self.run_json, lambda aside: aside.write_text(json.dumps(content, indent=2) + "\n"))
        self._layout = None

    def write_as(self, spec: RunSpec) -> None:
        """Take files of ``spec`` from now on, into which the run may grow; run.json says so when `grow` is called."""
        self._layout = dataclasses.replace(self.layout, spec=spec)

    def _may_grow_into(self, spec: RunSpec) -> bool:
        return self.about().get("format") == FORMAT and self.spec().grows_into(spec)

    def about(self) -> dict[str, Any]:
        """Return the content of run.json.

        Raises:
            StoreError: the folder is no run folder, or run.json is damaged.
        """
        return read_about(self.run_json)

    def spec(self) -> RunSpec:
        """Return the spec in run.json.

        Raises:
            StoreError: run.json is damaged, or was altered: its digest is not that of its spec.
        """
        about = self.about()
        try:
            spec = RunSpec.from_json(about["spec"])
        except ValueError as error:
            raise StoreError(
                f"{self.run_json} is damaged, or of another version of transference: {error}. Put the file that compute wrote back, or "
                "measure anew into another --out."
            ) from error
        if about["digest"] != spec.digest:
            raise StoreError(
                f"{self.run_json} was altered: its digest is {about['digest']}, that of its spec {spec.digest}."
            )
        return spec

    def writing(self, patience: Patience) -> AbstractContextManager[str | None]:
        """Return a context that holds the folder for writing, against other processes and other hosts; it waits until it can.

        Reading needs no lock: a file is whole or absent.

        Args:
            patience: while somebody else holds it.

        Returns:
            The context; its value is a word by which `is_held_by` knows the folder, None where the disk has no locks.
        """
        return one_writer(self.path, patience)

    def beginning(self, patience: Patience) -> AbstractContextManager[None]:
        """Return a context that holds the folder for a moment, to begin a run, while shards may be at work in it."""
        return one_beginner(self.path, patience)

    def sharing(self, shard: Shard, patience: Patience) -> AbstractContextManager[None]:
        """Return a context that holds the place of a shard: nobody writes but shards, and none of them is this one."""
        return one_of_a_shard(self.path, shard, patience)

    def shards_at_work(self) -> list[Shard]:
        """Return the shards that are at work in the folder."""
        return shards_at_work(self.path)

    def is_held_by(self, token: str) -> bool:
        """Return whether this is the folder, and not merely one of its name, that a writer holds who was told this word."""
        return is_held_by(self.path, token)

    def check_published(self, parts: Iterable[Part] | None = None) -> None:
        """Read what is published, so that nothing is taken for done that is damaged, was altered, or belongs elsewhere.

        Args:
            parts: of these; by default all there is.

        What was read by an earlier call, and has not changed since, is not read again.

        Raises:
            StoreError: a file is not what it should be.
        """
        if parts is None:
            read_unread(self.path, self.layout.published())
        else:
            mine = (file for part in parts for file in self.layout.of(part))
            deque(read_in_turn(file for file in mine if file.exists()), maxlen=0)

    @property
    def begun(self) -> bool:
        """Whether the folder holds a run."""
        return self._layout is not None or self.run_json.exists()

    @property
    def layout(self) -> Layout:
        """The files of the run, begun or not.

        Raises:
            StoreError: the folder holds no run, or run.json is damaged.
        """
        if self._layout is None:
            written = self.about().get("format")
            self._layout = Layout(self.path, self.spec(), written is not None, written == FORMAT)
        return self._layout

    def has(self, part: Part) -> bool:
        """Return whether a part is published: a tile, or another."""
        return self.begun and all(file.exists() for file in self.layout.of(part))

    def has_all(self, step: int) -> bool:
        """Return whether all that belongs to one checkpoint is published; of rounds of exact pairs, the first."""
        return self.begun and all(map(self.has, parts_of(self.layout.spec, step)))

    def has_tasks(self) -> bool:
        """Return whether the table of tasks is there."""
        return self.begun and self.layout.tasks.exists()

    def write_tasks(self, tasks: pa.Table) -> None:
        """Write the table of tasks."""
        self.layout.tasks.write(tasks)

    def write_view(self) -> None:
        """Write the view of the pairs, from the table of tasks, unless it is there."""
        if not (view := self.path / VIEW).exists():
            text = view_of(self.layout.tasks.read().to_pandas(), tempered=self.layout.spec.tempered)
            write_aside(view, lambda aside: aside.write_text(text, encoding="utf-8"))

    def first_source(self, step: int) -> dict[str, float] | None:
        """Return the row of the first source at one checkpoint and the first step size, or None while it is not published."""
        file = self.layout.sources(next(self.layout.spec.tiles(step, 0)))
        return dict(file.read().slice(0, 1).to_pylist()[0]) if file.exists() else None

    def write(self, part: Part, *tables: pa.Table) -> None:
        """Publish the tables of a part; of a tile its pairs last, since their file is what says that it is done."""
        for file, content in reversed([*zip(self.layout.of(part), tables, strict=False)]):
            file.write(content)

    def exact_rounds(self, spec: RunSpec, step: int, most: int | None = None) -> list[list[TableFile]]:
        """Return, for one checkpoint, the files of each whole round of pairs that were measured exactly, of at most so many rounds.

        A part of a round is left out: it is no random sample of the table.
        """
        rounds: list[list[TableFile]] = []
        tiles = list(spec.tiles(step, 0))
        while (most is None or len(rounds) < most) and len(self.layout.done_exactly(tiles, len(rounds))) == len(tiles):
            rounds.append([self.layout.exact(tile, len(rounds)) for tile in tiles])
        return rounds

    def sample(self, spec: RunSpec, step: int, most: int | None = None) -> pd.DataFrame:
        """Return, for one checkpoint, the rows of the pairs that were measured exactly beside the estimates.

        Each with its ``estimate``: the ratio of the losses in the table of all pairs, whatever its status.

        Args:
            spec: the measurement.
            step: the checkpoint's.
            most: of the first so many rounds; by default of all that are whole.
        """
        keys = ["source", "target", "alpha"]
        parts: list[pd.DataFrame] = [PAIRS.empty_table().to_pandas().assign(estimate=0.0)]
        for files in self.exact_rounds(spec, step, most):
            for tile, file in zip(spec.tiles(step, 0), files, strict=True):
                pairs = self.layout.pairs(tile).read([*keys, "loss_before", "loss_after"]).to_pandas()
                pairs["estimate"] = pairs.pop("loss_after") / pairs.pop("loss_before")
                parts.append(file.read().to_pandas().merge(pairs, on=keys))
        return pd.concat(parts[1:] or parts, ignore_index=True)


def _may_be_there(name: str) -> bool:
    """Whether a file may lie in a folder where no run was begun: one that was claiming it may have been killed, or may be at it."""
    whole = (
        name[1:].rsplit(".", 4)[0] if name.endswith(".tmp") else name
    )  # an aside's name goes on with host, process and chance
    return whole in _BEGUN or is_lock(whole)


def table(schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return a table of ``schema`` from its rows."""
    return pa.Table.from_pylist(list(rows), schema=schema)
