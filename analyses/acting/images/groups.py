"""The groups of classes that E2 and E3 choose from, as datasets: each as it is, and with its labels shuffled."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from transference.datasets.prepared import prepared_files
from transference.files import write_aside

SHUFFLED = "-shuffled"
"""What the name of a group ends in whose labels are shuffled."""


def prepare_groups(config: Mapping[str, Any], data_root: Path, to: Path) -> None:
    """Prepare a dataset for each group of the config, for each with its labels shuffled, and for each target.

    Groups have all their images in the split train, targets in the split test. What is there already is kept.

    Args:
        config: of E2: ``groups`` and ``targets``, ``side``, ``shuffle_seed``.
        data_root: with ``omniglot.parquet``, ``cifar100.parquet`` and ``cub200.parquet``.
        to: folder for the new ones.
    """
    sources = {name: _rows(data_root, of) for name, of in config["groups"].items()}
    targets = {name: _rows(data_root, of).assign(split="test") for name, of in config["targets"].items()}
    noise = random.Random(config["shuffle_seed"])
    for name, rows in sources.items():
        plain = rows.assign(split="train")
        _prepare(name, plain, to, config["side"])
        _prepare(name + SHUFFLED, shuffled(plain, noise), to, config["side"])
    for name, rows in targets.items():
        _prepare(name, rows, to, config["side"])


def shuffled(rows: pd.DataFrame, noise: random.Random) -> pd.DataFrame:
    """Return images with their labels dealt out anew: as many of each class as before, and nothing that a class has in common."""
    order = list(range(len(rows)))
    noise.shuffle(order)
    return rows.assign(class_name=rows["class_name"].to_numpy()[order])


def _rows(data_root: Path, of: Mapping[str, Any]) -> pd.DataFrame:
    """Return image bytes and class names of what a group consists of: a dataset's class group, split, or classes by name."""
    table = _images(data_root / f"{of['of']}.parquet")
    for column, key in (("class_group", "group"), ("split", "split")):
        if key in of:
            table = table[table[column].astype(str) == of[key]]
    if "classes" in of:
        table = table[table["class_name"].isin(of["classes"])]
        _check_all(of["classes"], table["class_name"].unique())
    names, images = table["class_name"].astype(str), [one["bytes"] for one in table["image"]]
    return pd.DataFrame({"image": images, "class_name": names.to_numpy()})


@cache
def _images(file: Path) -> pd.DataFrame:
    """Return a dataset, read once for all its groups."""
    return pq.read_table(file).to_pandas()


def _check_all(asked: Iterable[str], found: Iterable[str]) -> None:
    """Make sure that every class was found.

    Raises:
        ValueError: one was not.
    """
    if lacking := sorted(set(asked) - set(found)):
        raise ValueError(f"There is no class {', '.join(lacking)}.")


def _prepare(name: str, rows: pd.DataFrame, to: Path, side: int) -> None:
    if prepared_files(to, name):
        return
    file = to / "parquet" / name / f"{name}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pandas(rows, preserve_index=False)
    write_aside(file, lambda aside: pq.write_table(table, aside))
    subprocess.run(
        [
            *(sys.executable, "-m", "transference.cli", "datasets", "prepare", name),
            *("--from", str(file), "--data-root", str(to), "--side", str(side)),
        ],
        check=True,
    )
