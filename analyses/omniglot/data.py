"""Omniglot as few-shot learning splits it since Vinyals et al. (2016): characters at random, whatever their alphabet."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from transference.files import write_aside

NAME = "omniglot-mixed"


def mixed(data_root: Path, to: Path, seed: int, train: int, val: int) -> Path:
    """Write ``NAME.parquet``: the images of ``omniglot.parquet``, its characters dealt to splits anew; return the folder.

    Args:
        data_root: where the file is.
        to: folder for the new one; one that is there is kept.
        seed: of the deal.
        train: characters to train on.
        val: to validate on; the others are to test on.
    """
    file = to / f"{NAME}.parquet"
    if not file.exists():
        table = pq.read_table(data_root / "omniglot.parquet")
        labels = table["label"].to_pylist()
        characters = sorted(set(labels))
        random.Random(seed).shuffle(characters)
        names = ["train"] * train + ["val"] * val + ["test"] * (len(characters) - train - val)
        split = dict(zip(characters, names, strict=True))
        column = pa.array([split[label] for label in labels]).dictionary_encode()
        dealt = table.set_column(table.column_names.index("split"), "split", column)
        write_aside(file, lambda aside: pq.write_table(dealt, aside))
    return to
