"""A TOML file that says what is what in a table of one's own: modalities, label, group and split.

::

    label = "exercise"      # a column, or several that must agree
    group = "person"        # optional: rows of one group stay in one split
    id = "recording"        # optional: a name for each row, else its number
    standardise = true      # the default: values and windows by mean and deviation of train

    [modalities.accel]      # a column or array of this name
    [modalities.page]
    column = "scan"         # … or of another name
    kind = "image"          # else by its axes: values, window, image
    shape = [1, 28, 28]     # else as it is

    [split]                 # one of these three
    column = "split"
    groups = {train = ["ann", "bob"], val = ["eve"], test = ["joe"]}
    classes = {train = ["row", "lift"], test = ["pull"]}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transference.datasets._names import as_seen, split_names
from transference.datasets.paired._paired import KINDS
from transference.errors import UsageError
from transference.plain import as_list, as_record, as_text, as_whole, read_toml, unfit

_NAME = re.compile(r"[\w.-]+")
_WAYS = ("column", "groups", "classes")
_EXAMPLE = 'label = "class", [modalities.a], [modalities.b], [split] with column = "split"'


@dataclass(frozen=True)
class Described:
    """One modality as the file describes it; ``kind`` and ``shape`` are None where they go by the data.

    Attributes:
        name: of the modality.
        column: that holds it.
        kind: one of `KINDS`.
        shape: of one example.
    """

    name: str
    column: str
    kind: str | None = None
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Description:
    """What is what in a table.

    Attributes:
        path: the file that says so.
        modalities: in order.
        labels: columns with the class, which must agree.
        group: column of what must not be in two splits.
        identity: column with a name for each row.
        split_by: ``"column"``, ``"groups"`` or ``"classes"``.
        split_column: the column, where it is one.
        listed: the groups or classes of each split, where they are listed.
        standardise: whether values and windows are standardised.
    """

    path: Path
    modalities: tuple[Described, ...]
    labels: tuple[str, ...]
    group: str | None
    identity: str | None
    split_by: str
    split_column: str | None
    listed: Mapping[str, tuple[str, ...]]
    standardise: bool

    @property
    def columns(self) -> list[str]:
        """Return the columns that are read, each once."""
        named = (*self.labels, self.group, self.identity, self.split_column)
        return list(dict.fromkeys([*(m.column for m in self.modalities), *(name for name in named if name)]))


def read_description(path: Path) -> Description:
    """Return what a TOML file says.

    Raises:
        UsageError: it is no TOML of this form.
    """
    try:
        return _parsed(path, read_toml(path.read_bytes()))
    except ValueError as error:
        raise UsageError(
            f"{path} does not describe paired data: {error}. What is needed: {_EXAMPLE}; docs/datasets.md tells all of it."
        ) from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); give the TOML file that describes the data."
        ) from error


def _parsed(path: Path, content: Mapping[str, Any]) -> Description:
    """Return the description of these values.

    Raises:
        ValueError: they are of another form.
    """
    known = ("label", "group", "id", "standardise", "modalities", "split")
    found = as_record(content, "the file", ("label", "modalities", "split"), known)
    modalities = as_record(found["modalities"], "modalities")
    if not modalities:
        raise ValueError("modalities has none; two or more make data paired")
    split = as_record(found["split"], "split", known=_WAYS)
    if len(split) != 1:
        raise ValueError(f"split has {', '.join(split) or 'nothing'}; expected one of {', '.join(_WAYS)}")
    if not isinstance(standardise := found.get("standardise", True), bool):
        raise ValueError(unfit("standardise", standardise, "true or false"))  # noqa: TRY004 - what was read
    label = found["label"]
    labels = tuple(
        as_text(name, "label") for name in as_list(label if isinstance(label, list) else [label], "label", least=1)
    )
    group, identity = (as_text(found[key], key) if key in found else None for key in ("group", "id"))
    ((by, value),) = split.items()
    if by == "groups" and group is None:
        raise ValueError("split has groups, but no group is named")
    return Description(
        path,
        tuple(_described(name, told) for name, told in modalities.items()),
        labels,
        group,
        identity,
        by,
        as_text(value, "column") if by == "column" else None,
        {} if by == "column" else _listed(by, value),
        standardise,
    )


def _described(name: str, content: object) -> Described:
    """Return one modality.

    Raises:
        ValueError: its name, kind or shape is none.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"the modality {name!r} has a name that a mode cannot have; use letters, digits, '.', '_' and '-'"
        )
    found = as_record(content, name, known=("column", "kind", "shape"))
    kind, shape = found.get("kind"), found.get("shape")
    if kind is not None and kind not in KINDS:
        raise ValueError(unfit(f"kind of {name}", kind, f"one of {', '.join(KINDS)}"))
    sides = None
    if shape is not None:
        sides = tuple(
            as_whole(n, f"shape of {name}", 1, 2**31) for n in as_list(shape, f"shape of {name}", least=1, most=3)
        )
    return Described(name, as_text(found.get("column", name), f"column of {name}"), kind, sides)


def _listed(by: str, content: object) -> dict[str, tuple[str, ...]]:
    """Return the members of each split.

    Raises:
        ValueError: a split has none, or two have the same.
    """
    lists = as_record(content, by)
    names = split_names(lists)
    found = {names[word]: tuple(_member(m, by) for m in as_list(members, word)) for word, members in lists.items()}
    owner: dict[str, str] = {}
    for split, members in found.items():
        if not members:
            raise ValueError(f"the split {split} has no {by}")
        for member in members:
            if owner.setdefault(member, split) != split:
                raise ValueError(f"{by} puts {member!r} into both {owner[member]} and {split}")
    if not found:
        raise ValueError(f"{by} lists no split")
    return found


def _member(value: object, by: str) -> str:
    """Return a group or class as text.

    Raises:
        ValueError: it is neither a text nor a whole number.
    """
    if isinstance(value, str):
        return as_seen(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(unfit(by, value, "texts or whole numbers"))
