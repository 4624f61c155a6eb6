"""Tables as csv, of which no cell can do anything to whoever opens it."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transference.errors import in_one_line

_FORMULA = ("=", "+", "-", "@")
"""How a cell begins that spreadsheets take for a formula. Tabs and line breaks, which may stand before one, are escaped."""


def write_csv(table: pd.DataFrame, file: Path | BinaryIO, digits: int | None = None) -> None:
    """Write a table as csv in UTF-8, one line a row.

    Names come from folders and files of others. Of what they could do to a reader, letters that do not print are written as escapes, as in
    a terminal, and a text that a spreadsheet would compute gets an apostrophe before it. Numbers are written as they are.

    Args:
        table: its index is left out.
        file: a path, or a file opened for bytes.
        digits: of fractions; by default as many as tell them apart.
    """
    texts = [name for name in table if not pd.api.types.is_numeric_dtype(table[name].dtype)]
    safe = table.assign(**{str(name): _safe(table[name]) for name in texts})
    form = None if digits is None else f"%.{digits}g"
    safe.to_csv(file, index=False, encoding="utf-8", lineterminator="\n", float_format=form)


def _safe(column: pd.Series) -> NDArray[np.object_]:
    """Return a column with its texts made harmless; each distinct one is looked at once."""
    codes, values = pd.factorize(column)
    shown = [harmless(value) if isinstance(value, str) else value for value in values]
    return np.array([*shown, None], dtype=object)[codes]  # the last, -1, is for what is missing


def harmless(text: str) -> str:
    """Return a text as a cell may hold it.

    Example:
        >>> harmless("=cmd|'/c calc'!A1"), harmless("birds"), harmless("-")
        ("'=cmd|'/c calc'!A1", 'birds', "'-")
    """
    shown = in_one_line(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
