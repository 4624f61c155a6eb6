"""The folder of a training: what it is, its checkpoints, and what was recorded on the way.

training.json                    what the training depends on, and how its tasks are batched
step-00000500.safetensors        a checkpoint every so many updates
best.safetensors                 a copy of the best validated one
metrics/step-00000500.parquet    loss and accuracy per iteration and mode, of the iterations that end with that checkpoint
validation/step-….parquet        mean loss and accuracy of that checkpoint per mode
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from transference.errors import SpecMismatchError
from transference.files import write_aside
from transference.plain import read_json

_KINDS = ("metrics", "validation")


class Folder:
    """Reads and writes it. Every file is whole or absent.

    Args:
        path: of the folder, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._about = path / "training.json"

    def checkpoint(self, step: int) -> Path:
        """Return where the checkpoint after ``step`` updates is kept."""
        return self.path / f"step-{step:08d}.safetensors"

    def saved(self) -> dict[int, Path]:
        """Return the checkpoints by step, ascending."""
        return {_step(path): path for path in sorted(self.path.glob("step-[0-9]*.safetensors"))}

    def check(self, identity: Mapping[str, Any]) -> None:
        """Make sure that the folder is free or holds this very training, on these very tasks.

        Raises:
            SpecMismatchError: it holds another one.
        """
        if not self._about.exists():
            if self.saved():
                raise SpecMismatchError(
                    f"{self.path} holds checkpoints but no training.json, so that nothing tells whose they are. Choose a new --out."
                )
            return
        found = {key: value for key, value in self._read().items() if key != "batching"}
        keys = [key for key in {**found, **identity} if found.get(key) != identity.get(key)]
        differences = [f"{key}: {found.get(key)} → {identity.get(key)}" for key in keys]
        if differences:
            lines = "\n  ".join(differences)
            raise SpecMismatchError(
                f"{self.path} holds another training. What it was → what was asked now:\n  {lines}\nChoose a new --out."
            )

    def batching(self, asked: str) -> str | None:
        """Return the batching that the folder was begun with, else the one asked for, None if that is left open.

        Raises:
            SpecMismatchError: another one is asked for than the folder was begun with.
        """
        begun: str | None = self._read().get("batching") if self._about.exists() else None
        if begun and asked not in {"auto", begun}:
            raise SpecMismatchError(
                f"{self.path} was begun with tasks batched {begun}, and {asked} was asked for, which changes the last digits. "
                "Leave --batching out, or choose a new --out."
            )
        return begun or (None if asked == "auto" else asked)

    def begin(self, identity: Mapping[str, Any], batching: str) -> None:
        """Write what the training is."""
        text = json.dumps({**identity, "batching": batching}, indent=2) + "\n"
        write_aside(self._about, lambda aside: aside.write_text(text))

    def record(self, kind: str, rows: Sequence[Mapping[str, Any]] | pd.DataFrame, step: int) -> None:
        """Write metrics or a validation before the checkpoint that ends them: a resumed training writes the same file again."""
        content = BytesIO()  # given a name, pandas takes some for an address
        pd.DataFrame(rows).to_parquet(content, index=False)
        write_aside(self.path / kind / f"step-{step:08d}.parquet", lambda aside: aside.write_bytes(content.getvalue()))

    def drop_records_after(self, step: int) -> None:
        """Remove records that no checkpoint followed: their iterations come again, perhaps in parts of another length."""
        for kind in _KINDS:
            for path in self._records(kind):
                if _step(path) > step:
                    path.unlink()

    def keep_best(self, n: int) -> None:
        """Keep a copy of the best checkpoint, of equals the first, among those validated on ``n`` tasks per mode."""
        merits: dict[int, float] = {}
        for path in self._records("validation"):
            with pq.ParquetFile(path.absolute()) as file:  # pyarrow takes a relative name with a colon for an address
                table = file.read().to_pandas()
            if table["n"].iloc[0] == n and self.checkpoint(_step(path)).exists():
                score = table.iloc[-1]
                merit = -score["loss"] if math.isnan(score["accuracy"]) else score["accuracy"]
                merits[_step(path)] = -math.inf if math.isnan(merit) else merit
        if merits:
            best = self.checkpoint(max(merits, key=merits.__getitem__))
            write_aside(self.path / "best.safetensors", lambda aside: aside.write_bytes(best.read_bytes()))

    def _records(self, kind: str) -> list[Path]:
        return sorted((self.path / kind).glob("step-[0-9]*.parquet"))

    def _read(self) -> dict[str, Any]:
        """Return what training.json says.

        Raises:
            SpecMismatchError: it is damaged.
        """
        try:
            return dict(read_json(self._about.read_bytes()))
        except (ValueError, TypeError) as error:
            raise SpecMismatchError(f"{self._about} is damaged ({error}). Choose a new --out.") from error


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))
