"""Which modalities a mode shows: ``watch[accel]``, ``watch[accel+gyro]``, ``watch[*]``, ``watch[accel>gyro]``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transference.datasets import dataset_names, parse_mode
from transference.datasets.originals import find_original
from transference.datasets.paired import Modality, PairedReader, find_paired, paired_names
from transference.datasets.paired.originals import find_paired_original
from transference.errors import UsageError
from transference.samplers.functions import FAMILIES

ALL = "*"
"""Stands for all modalities."""

_BRACKETS = re.compile(r"(?P<name>[\w.-]+)\[(?P<inside>[^\[\]]*)\]")


@dataclass(frozen=True)
class Subset:
    """Modalities of paired data, as text ``accel+gyro``, or ``accel>gyro`` where queries have others than the support.

    Attributes:
        support: names of those of the support set, in the data's order.
        query: of the queries, likewise.
    """

    support: tuple[str, ...]
    query: tuple[str, ...]

    @property
    def shown(self) -> set[str]:
        """Return those of support or queries."""
        return {*self.support, *self.query}

    def __str__(self) -> str:
        sides = (self.support,) if self.support == self.query else (self.support, self.query)
        return ">".join(map("+".join, sides))


def find_subset(mode: str, data_root: str | Path | None = None) -> tuple[PairedReader, Subset] | None:
    """Return the paired data and the modalities that a mode without its split names; None for a mode that is not paired.

    Raises:
        UsageError: it names modalities that there are not, or of data that have none, or none of data that have several.
        DataError: the data are damaged, or images are called so too.
    """
    if not set("[]") & set(mode):
        if reader := find_paired(mode, data_root):
            raise UsageError(_say_which(reader))
        return None
    if not (match := _BRACKETS.fullmatch(mode)):
        raise UsageError(f"{mode!r} does not name a mode; write it as NAME[MODALITY+MODALITY], or NAME[{ALL}] for all.")
    if (reader := find_paired(match["name"], data_root)) is None:
        raise UsageError(_not_paired(mode, match["name"], data_root))
    return reader, choose_modalities(reader.name, reader.modalities, match["inside"])


def choose_modalities(data: str, modalities: Sequence[Modality], inside: str) -> Subset:
    """Return the modalities that a text in brackets names, in the data's order.

    Args:
        data: name of the data, for messages.
        modalities: theirs.
        inside: ``accel``, ``accel+gyro``, ``*`` for all, ``accel>gyro``.

    Raises:
        UsageError: it names none, one twice, or one that there is not.
    """
    sides, there = inside.split(">"), [modality.name for modality in modalities]
    if len(sides) > 2:
        raise UsageError(f"{data}[{inside}] has more than one >; write {data}[SUPPORT>QUERY].")
    chosen = [_side(f"{data}[{inside}]", side, there) for side in sides]
    return Subset(chosen[0], chosen[-1])


def mode_in_order(mode: str, data_root: str | Path | None = None) -> str:
    """Return a mode, with or without its split, with its modalities in full and in the data's order; others as they are.

    Raises:
        UsageError: it names modalities that there are not, or of data that have none, or none of data that have several; or it is
            no mode at all.
        DataError: the data are damaged.

    Example:
        >>> mode_in_order("mix[b+a]:train"), mode_in_order("mix[*]"), mode_in_order("strokes:train")
        ('mix[a+b]:train', 'mix[a+b]', 'strokes:train')
    """
    name, split = parse_mode(mode) if ":" in mode else (mode, None)
    found = find_subset(name, data_root)
    return mode if found is None else f"{found[0].name}[{found[1]}]" + (f":{split}" if split else "")


def _side(mode: str, text: str, there: Sequence[str]) -> tuple[str, ...]:
    """Return the modalities on one side of ``>``.

    Raises:
        UsageError: there is none, one twice, or one that the data do not have.
    """
    names, data = [part.strip() for part in text.split("+")], mode.partition("[")[0]
    if names == [ALL]:
        return tuple(there)
    if "" in names:
        where = " beside a +" if len(names) > 1 else " on one side of the >" if ">" in mode else ""
        raise UsageError(f"{mode} names no modality{where}; {data} has {', '.join(there)}.")
    if ALL in names:
        raise UsageError(f"{mode} names {ALL}, which is all modalities, and others beside it; write {ALL} alone.")
    for name in names:
        if name not in there:
            hint = _meant(name, there)
            raise UsageError(
                f"{mode}: there is no modality {name} in {data}; it has {', '.join(there)}"
                f"{f' ({hint})' if hint else ''}."
            )
    if twice := [name for name in there if names.count(name) > 1]:
        raise UsageError(f"{mode} names the modality {twice[0]} twice; name each once.")
    return tuple(name for name in there if name in names)


def _meant(name: str, known: Sequence[str]) -> str:
    """Return the question whether another name was meant, in capitals or not; nothing where none is close."""
    folded = {one.casefold(): one for one in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"did you mean {folded[close[0]]}?" if close else ""


def _say_which(reader: PairedReader) -> str:
    """Return what to say where paired data are named without brackets."""
    name, there = reader.name, [modality.name for modality in reader.modalities]
    crossed = f" or {name}[{there[0]}>{there[1]}] for support in one and queries in another" if len(there) > 1 else ""
    return (
        f"{name} has the modalities {', '.join(there)}; say which: {name}[{there[0]}], {name}[{ALL}] for all{crossed}."
    )


def _not_paired(mode: str, name: str, data_root: str | Path | None) -> str:
    """Return what to say of brackets behind the name of data that are not paired."""
    paired = paired_names(data_root)
    told = f"paired data are: {', '.join(paired)}"
    if name in FAMILIES:
        return f"{mode} was asked for, and {name} has functions, without modalities; {told}."
    known = dataset_names(data_root) if data_root is None or Path(data_root).is_dir() else dataset_names()
    if name in known or find_original(name):
        return f"{mode} was asked for, and {name} has images alone, which are named without brackets; {told}."
    hint = _meant(name, paired)
    if find_paired_original(name):
        hint = f"to bring it here: transference datasets prepare {name} --from PLACE --data-root {data_root or 'DIR'}"
    return f"{mode} was asked for, and there are no paired data {name!r}; {told}{f' ({hint})' if hint else ''}."
