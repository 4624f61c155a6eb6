"""What ``transference datasets …`` does for paired data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transference.addresses import refuse_address
from transference.cli.printing import say
from transference.datasets import SPLITS, in_order, shared_classes, split_sizes
from transference.datasets.paired import (
    Modality,
    PairedDataset,
    PairedReader,
    PreparedPairs,
    find_paired,
    open_paired,
    prepared_pairs,
)
from transference.datasets.paired.originals import PairedOriginal, find_paired_original, paired_original_names
from transference.errors import TransferenceError, UsageError
from transference.samplers import ALL, choose_modalities, mode_in_order

_ASKED = re.compile(r"(?P<name>[\w.-]+)(?:\[(?P<subset>[^\[\]]*)\])?(?::(?P<split>[\w-]+))?")


def known_pairs() -> dict[str, PairedOriginal]:
    """Return the paired data whose distributed form is known."""
    found = {name: find_paired_original(name) for name in paired_original_names()}
    return {name: original for name, original in found.items() if original}


def described(reader: PairedReader) -> dict[str, Any]:
    """Return what the list tells of paired data."""
    notes = reader.notes if isinstance(reader, PreparedPairs) else []
    sizes = split_sizes(reader)
    return {
        "name": reader.name,
        "modalities": [{"name": m.name, "kind": m.kind, "shape": list(m.shape)} for m in reader.modalities],
        "splits": {
            split: {"classes": sizes[split].classes, "examples": sizes[split].images} for split in in_order(sizes)
        },
        "where": reader.where,
        "notes": [*notes, *_shared(reader)],
    }


def told(entry: dict[str, Any]) -> list[str]:
    """Return the lines of the list for paired data."""
    sizes = [
        f"{split:8} {size['classes']:5} classes {size['examples']:7} examples"
        for split, size in entry["splits"].items()
    ]
    modalities = ", ".join(f"{m['name']} ({m['kind']}, {'×'.join(map(str, m['shape']))})" for m in entry["modalities"])
    place = entry["where"] if entry["where"] == "generated" else f"prepared: {entry['where']}"
    return [*sizes, f"each with {modalities}", place, *(f"note: {note}" for note in entry["notes"])]


def prepare_pairs(
    name: str,
    place: Path,
    data_root: Path,
    *,
    side: int,
    form: str | None,
    description: Path | None,
    force: bool,
    dry_run: bool,
) -> None:
    """Read, check and standardise paired data, and write them into DATA_ROOT/NAME.paired.safetensors."""
    from transference.datasets.preparing.paired import is_done, paired_preparation, prepare

    with paired_preparation(name, place, data_root, side=side, form=form, description=description, say=_note) as asked:
        table = asked.table
        for note in (*table.notes, *_odd(table.classes())):
            _note(note)
        if dry_run:
            say(f"would prepare {len(table.rows)} examples, {asked.n_bytes / 1e6:.1f} MB, in {asked.target.path}")
            _echo(name, table.classes())
            return
        if not force and is_done(asked):
            _note(
                "it is prepared already, and nothing was done; datasets verify reads all of it, --force prepares it again"
            )
        done = prepare(asked, force=force)
    for note in _shared(done):
        _note(note)
    _echo(name, done.classes())
    say(done.path)


def verified_pairs(name: str, data_root: Path) -> Iterator[tuple[object, str]]:
    """Yield each prepared file of this name, and what is wrong with it."""
    for file in prepared_pairs(data_root, name):
        try:
            find_paired(name, data_root)
            problems = file.verify()
            yield file.path, "; ".join([*problems, f"prepare {name} again with --force"] if problems else [])
        except TransferenceError as error:
            yield file.path, str(error)


def asked_name(mode: str) -> str:
    """Return the name of the dataset in ``NAME``, ``NAME[a+b]`` or ``NAME[a+b]:SPLIT``.

    Raises:
        UsageError: it is an address.
    """
    refuse_address(mode)
    match = _ASKED.fullmatch(mode)
    return match["name"] if match else mode.partition(":")[0]


def show_pairs(mode: str, data_root: Path | None, side: int | None, classes: int, columns: int, output: Path) -> None:
    """Draw a sheet of examples: one row per class, of one split or of all.

    Args:
        mode: ``NAME``, ``NAME[a+b]``, each with ``:SPLIT`` or without.
        data_root: folder with prepared files.
        side: pixels along each edge of images; None as they were prepared.
        classes: rows, shared out among the splits.
        columns: small plots beside one another, about.
        output: PNG, PDF or SVG.
    """
    from transference.figures import example_sheet, save

    match = _ASKED.fullmatch(mode)
    if match and match["subset"] is not None:
        mode_in_order(f"{match['name']}[{match['subset']}]", data_root)  # or it says what is wrong with it
    reader = find_paired(match["name"], data_root) if match else None
    if not match or not reader:
        raise UsageError(f"{mode!r} does not name paired data; write it as NAME, NAME[a+b] or NAME[a+b]:SPLIT.")
    chosen = _chosen(reader, match["subset"])
    images = [m.shape for m in chosen if m.kind == "image"]
    shown = {modality.name for modality in chosen}
    size = {"side": side or (images[0][1] if images else 28), "channels": max([1, *(shape[0] for shape in images)])}
    splits = [match["split"]] if match["split"] else in_order(reader.classes())
    n_examples = max(1, -(-columns // len(chosen)))
    rows: list[tuple[str, dict[str, Any]]] = []
    for number, split in enumerate(splits):
        share = classes // len(splits) + (number < classes % len(splits))
        dataset = open_paired(reader.name, split, data_root=data_root, shown=shown, **size)
        rows += _rows(dataset, chosen, share, n_examples, with_split=not match["split"])
    kinds = {modality.name: modality.kind for modality in chosen}
    save(example_sheet([values for _, values in rows], kinds, [label for label, _ in rows]), output)
    say(output)


def spread(n: int, some: int) -> list[int]:
    """Return the numbers of some of ``n`` classes, spread evenly over all of them."""
    return sorted({k * n // some for k in range(some)}) if some else []


def _rows(
    dataset: PairedDataset, chosen: list[Modality], classes: int, examples: int, *, with_split: bool
) -> list[tuple[str, dict[str, Any]]]:
    """Return label and examples of some classes."""
    label = f"{dataset.split}: " if with_split else ""
    found = []
    for c in spread(len(dataset.class_names), classes):
        start, stop = dataset.starts[c : c + 2]
        mine = slice(start, min(start + examples, stop))
        values = {modality.name: dataset.values[modality.name][mine].numpy() for modality in chosen}
        found.append((f"{label}{dataset.class_names[c]}", values))
    return found


def _chosen(reader: PairedReader, subset: str | None) -> list[Modality]:
    """Return the modalities asked for, in the data's order.

    Raises:
        UsageError: there is no such modality.
    """
    asked = choose_modalities(reader.name, reader.modalities, subset or ALL)
    if asked.support != asked.query:
        both = "+".join((*asked.support, *asked.query))
        raise UsageError(
            f"{reader.name}[{subset}] is for tasks; a sheet shows modalities side by side: {reader.name}[{both}]."
        )
    return [modality for modality in reader.modalities if modality.name in asked.support]


def _odd(splits: dict[str, Any]) -> list[str]:
    odd = [split for split in splits if split not in SPLITS]
    return [f"the split {', '.join(odd)} is none of {', '.join(SPLITS)}; is it meant?"] if odd else []


def _shared(reader: PairedReader) -> list[str]:
    """Return which classes two splits share; people or recordings may be what is held out."""
    classes = reader.classes()
    if len(classes) > 1 and len({frozenset(found) for found in classes.values()}) == 1:
        return [f"every split has the same {len(next(iter(classes.values())))} classes"]
    return shared_classes(classes)


def _echo(name: str, classes: dict[str, dict[str, int]]) -> None:
    for split, sizes in classes.items():
        say(f"{name}:{split:8} {len(sizes):5} classes {sum(sizes.values()):7} examples")


def _note(text: str) -> None:
    say(f"note: {text}", err=True)
