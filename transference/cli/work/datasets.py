"""What ``transference datasets …`` does, once its options are read."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from transference.addresses import as_address, refuse_address
from transference.cli import _paired
from transference.cli.options import EPISODE
from transference.cli.printing import say
from transference.datasets import (
    SPLITS,
    DatasetReader,
    ImageDataset,
    Prepared,
    as_seen,
    dataset_names,
    find_reader,
    is_other,
    open_dataset,
    parse_mode,
    places_of,
    prepared_files,
    shared_classes,
    split_sizes,
    stray_files,
    unread,
    usable_name,
)
from transference.datasets.originals import Original, find_original, original_names
from transference.datasets.paired import find_paired, paired_names, prepared_pairs
from transference.datasets.paired.originals import find_paired_original
from transference.datasets.split_lists.drawn import Shares
from transference.errors import DataError, TransferenceError, UsageError


def list_datasets(data_root: Path | None, json_output: bool) -> None:
    """Do what ``transference datasets list`` was asked."""
    entries = [_described(name, data_root) for name in _names(data_root)]
    strays = stray_files(data_root) if data_root else []
    here = {entry["name"] for entry in entries}
    known = _known(here)
    if json_output:
        say(
            json.dumps(
                {"datasets": entries, "known": {name: page for name, (page, _) in known.items()}, "notes": strays},
                indent=2,
            )
        )
        return
    width = max(len(name) for name in (*here, *known))
    for entry in entries:
        for number, line in enumerate(_lines(entry)):
            say(f"{'' if number else entry['name']:{width}}  {line}")
    for name, (_, how) in known.items():
        say(f"{name:{width}}  not here; to be had {how}")
    for note in strays:
        say(f"note: {note}")


def _known(here: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return page, and how to be had, of the datasets that are known but not here."""
    images = {name: original for name in original_names() if (original := find_original(name))}
    told = {name: (original.page, f"from {original.page}") for name, original in images.items()}
    told |= {name: (original.page, original.get) for name, original in _paired.known_pairs().items()}
    return {name: how for name, how in told.items() if name not in here}


def _names(data_root: Path | None) -> list[str]:
    """Return the names of all datasets, each once: generated ones, then those of the data root."""
    generated, here = [*dataset_names(), *paired_names()], [*dataset_names(data_root), *paired_names(data_root)]
    known = dict.fromkeys([*generated, *(sorted(here) if data_root else [])])
    return [name for name in known if name in generated or not (data_root and _is_none(name, data_root))]


def _is_none(name: str, data_root: Path) -> bool:
    """Return whether what could be a dataset of this name is a folder of other things, of which the list has a note."""
    places = places_of(name, data_root)
    prepared = prepared_files(data_root, name) or prepared_pairs(data_root, name)
    return bool(places) and not prepared and all(place.is_dir() and is_other(place) for place in places)


def _lines(entry: dict[str, Any]) -> list[str]:
    """Return what is told of one dataset, line by line."""
    if "error" in entry:
        return [f"cannot be used: {entry['error']}"]
    if "modalities" in entry:
        return _paired.told(entry)
    sizes = [
        f"{split:8} {size['classes']:5} classes {size['images']:7} images" for split, size in entry["splits"].items()
    ]
    if entry["where"] == "generated":
        return [*sizes, "generated"]
    prepared = f"prepared at {', '.join(entry['prepared'])}" if entry["prepared"] else "not prepared"
    return [*sizes, f"{prepared}: {entry['where']}", *(f"note: {note}" for note in entry["notes"])]


def _described(name: str, data_root: Path | None) -> dict[str, Any]:
    """Return what the list tells of one dataset."""
    try:
        parse_mode(f"{name}:all")
        if pairs := find_paired(name, data_root):
            return _paired.described(pairs)
        ready = prepared_files(data_root, name) if data_root else []
        reader: Prepared | DatasetReader = ready[0] if ready else find_reader(name, data_root)
        return {
            "name": name,
            "splits": {split: size._asdict() for split, size in split_sizes(reader).items()},
            "prepared": [f"{file.side}x{file.side}x{file.channels}" for file in ready],
            "where": ", ".join(str(file.path) for file in ready) or reader.where,
            "notes": [*_renamed(name, data_root), *_notes(reader)],
        }
    except TransferenceError as error:  # one bad file must not hide the others
        return {"name": name, "error": str(error)}


def _renamed(name: str, data_root: Path | None) -> list[str]:
    """Return what to say of a place whose name no mode can have."""
    places = places_of(name, data_root) if data_root else []
    odd = [place.name for place in places if not place.name.startswith(name) and as_seen(place.stem) != name]
    return [f"{odd[0]} is called {name} here; write {name}:SPLIT"] if odd else []


def _notes(reader: Prepared | DatasetReader) -> list[str]:
    """Return what else is to be said of a dataset: what of it is not read, and which classes its splits share."""
    return [*unread(reader).lines, *shared_classes(reader.classes())]


def prepare(
    name: str,
    place: Path | None,
    download: bool,
    data_root: Path,
    side: int,
    channels: str | None,
    form: str | None,
    description: Path | None,
    split_file: str | None,
    split: str | None,
    split_seed: int | None,
    invert: bool,
    force: bool,
    dry_run: bool,
) -> None:
    """Do what ``transference datasets prepare`` was asked."""
    from transference.datasets.preparing import is_done, preparation
    from transference.datasets.preparing import prepare as run

    name = _made_name(name)
    shares = _shares(split, split_seed, split_file)
    if place is not None and not download:
        _require_here(place, name)
    if description or find_paired_original(form or name):
        if given := _of_images_alone(
            split_file=split_file, split=split, invert=invert, channels=channels, download=download
        ):
            raise UsageError(f"{given} is for images, and {name} is paired data; leave it out.")
        if place is None:
            raise UsageError(_where_pairs_from(name, form, description))
        _paired.prepare_pairs(
            name, place, data_root, side=side, form=form, description=description, force=force, dry_run=dry_run
        )
        return
    if place is not None and place.suffix == ".npz":
        raise UsageError(f"{place} holds arrays of paired data; say what is what in them with --paired FILE.toml.")
    place, origin = _place_of(name, form, place, data_root, download=download)
    settings: dict[str, Any] = {
        "origin": origin,
        "form": form,
        "split_file": split_file,
        "split": shares,
        "invert": invert,
        "channels": int(channels) if channels else None,
    }
    with preparation(name, place, data_root, side=side, **settings, say=_note) as asked:
        if asked.absent:
            few = ", ".join(asked.absent[:3])
            _note(
                f"{len(asked.absent)} entries of the split list have no images here ({few}{', …' if len(asked.absent) > 3 else ''})"
            )
        if asked.empty:
            _note(f"there are no images for {', '.join(asked.empty)}")
        if odd := [split for split in asked.reader.classes() if split not in (*SPLITS, "all")]:
            _note(f"the split {', '.join(odd)} is none of {', '.join(SPLITS)}; is it meant?")
        if dry_run:
            _tell(asked.reader)
            say(f"would prepare {asked.n_images} images, {asked.n_bytes / 1e6:.1f} MB, in {asked.target.path}")
            _echo_splits(name, asked.reader)
            return
        if not force and is_done(asked):
            _note(
                "it is prepared already, and nothing was done; datasets verify reads every image, --force prepares it again"
            )
        done = run(asked, force=force, progress=True)
    _tell(done)
    _echo_splits(name, done)
    say(done.path)


def _shares(split: str | None, seed: int | None, split_file: str | None) -> Shares | None:
    """Return the shares of classes that a split is drawn by.

    Raises:
        UsageError: they are none, a list was given too, or a seed without them.
    """
    if split is not None and split_file:
        raise UsageError("--split-file and --split were both given; the split can come from only one of them.")
    if split is None and seed is not None:
        raise UsageError(f"--split-seed {seed} was given without --split; add for example --split 0.6,0.2,0.2.")
    return None if split is None else Shares.parse(split, seed or 0)


def _made_name(name: str) -> str:
    """Return the name that a mode can have in the stead of one with spaces, and say so; what leads to another folder stays.

    Raises:
        UsageError: it is an address.
    """
    if address := as_address(name):
        raise UsageError(f"{address} is an address, and no name; choose a name, and give the address with --from.")
    made = name if set(name) & set("/\\:[]") or name.startswith(".") else usable_name(name)
    if made != name and as_seen(name) != made:
        _note(f"a mode's name has no spaces or other signs; {name!r} is prepared as {made}")
    return made


def _of_images_alone(**options: object) -> str | None:
    """Return the first option that was given."""
    return next((f"--{name.replace('_', '-')}" for name, value in options.items() if value), None)


def _where_pairs_from(name: str, form: str | None, description: Path | None) -> str:
    """Return what to say if nobody told where paired data are."""
    original = None if description else find_paired_original(form or name)
    if not original:
        return f"Say where {name} is with --from: a parquet or .npz file."
    return f"Say where {name} is with --from (expected: {original.expects}). To be had {original.get}."


def _where_from(name: str, original: Original | None) -> str:
    """Return what to say if nobody told where the images are."""
    if not original:
        return f"Say where {name} is with --from: an archive, a folder, or a parquet file."
    download = "" if not original.remotes else ", or let it be downloaded with --download"
    return f"Say where {name} is with --from (expected: {original.expects}){download}."


def _tell(reader: DatasetReader | Prepared) -> None:
    for note in _notes(reader):
        _note(note)


def _note(text: str) -> None:
    say(f"note: {text}", err=True)


def _echo_splits(name: str, reader: DatasetReader | Prepared) -> None:
    for split, size in split_sizes(reader).items():
        say(f"{name}:{split:8} {size.classes:5} classes {size.images:7} images")


def _require_here(place: Path, name: str) -> None:
    """Raise an error if data were asked for from a place that may be meant as one of the Hub, or from an address.

    Raises:
        UsageError: from an address.
        DataError: there is nothing at the place, and it could be the name of a dataset of the Hub.
    """
    address = as_address(place)
    if address and address.startswith("hf://datasets/"):
        raise UsageError(
            f"{address} is on the Hugging Face Hub, and nothing is downloaded unasked; add --download to fetch it."
        )
    refuse_address(place)
    if len(place.parts) == 2 and not place.is_absolute() and not place.exists() and not place.parent.exists():
        raise DataError(
            f"{place} does not exist; give the archive, folder or file that holds {name} with --from. If it is a dataset of "
            "the Hugging Face Hub, add --download."
        )


def _place_of(
    name: str, form: str | None, place: Path | None, data_root: Path, *, download: bool
) -> tuple[Path, str | None]:
    """Return where the images are, once they are downloaded if that was asked for, and what else is to be said of their origin.

    Raises:
        UsageError: nobody told where they are.
    """
    if not download and place is None:
        raise UsageError(_where_from(name, find_original(form or name)))
    if place is None:
        return _download(form or name, data_root), None
    return _from_hub(name, form, place, data_root) if download else (place, None)


def _from_hub(name: str, form: str | None, place: Path, data_root: Path) -> tuple[Path, str]:
    """Return where a dataset of the Hub is once it is fetched, and its address with the commit.

    Raises:
        UsageError: it lies here, or is nothing of the Hub, or no dataset can be prepared under the name.
    """
    from transference.datasets.intake import HubAddress
    from transference.datasets.preparing import asked_original, fetch_from_hub

    if place.exists():
        raise UsageError(f"{place} is here already; leave out --download.")
    address = HubAddress.parse(as_address(place) or place.as_posix())
    fetched = fetch_from_hub(address, asked_original(name, form), data_root, _note, progress=True)
    return fetched.place, fetched.origin


def _download(name: str, data_root: Path) -> Path:
    """Return the folder with the downloaded archives.

    Raises:
        UsageError: there is nothing that may be downloaded without a person.
    """
    from transference.datasets.intake import download

    original = find_original(name)
    if not original:
        raise UsageError(f"Nothing is known of where {name} could be downloaded; give its place with --from.")
    if not original.remotes:
        raise UsageError(
            f"{original.title}, may not be downloaded automatically. Get it from {original.page}, then give its folder with --from: "
            f"{original.expects}."
        )
    folder = data_root / ".downloads" / name
    for remote in original.remotes:
        download(remote, folder, progress=True)
    return folder


def verify(names: tuple[str, ...], data_root: Path) -> None:
    """Do what ``transference datasets verify`` was asked."""
    wrong = False
    generated = {*dataset_names(), *paired_names()}
    for name in names or [name for name in _names(data_root) if name not in generated]:
        for place, problem in _verified(name, data_root):
            wrong |= bool(problem)
            say(f"{name}: {place}: {problem or 'good'}")
    if wrong:
        raise SystemExit(1)


def _verified(name: str, data_root: Path) -> Iterator[tuple[object, str]]:
    """Yield each place that was looked at, and what is wrong there."""
    pairs = list(_paired.verified_pairs(name, data_root))
    yield from pairs
    if pairs and not prepared_files(data_root, name):
        return
    for file in (ready := prepared_files(data_root, name)):
        try:
            problems = file.verify()
            if problems:
                problems.append(f"prepare {name} again with --force")
            else:  # what it was prepared from may lie beside it, and have changed
                open_dataset(
                    f"{name}:{next(iter(file.classes()))}", data_root=data_root, side=file.side, channels=file.channels
                )
            yield file.path, "; ".join(problems)
        except TransferenceError as error:
            yield file.path, str(error)
    if not ready:
        try:
            reader = find_reader(name, data_root)
            yield reader.where, "; ".join(_undecodable(reader, data_root))
        except TransferenceError as error:
            yield data_root, str(error)


def _undecodable(reader: DatasetReader, data_root: Path) -> Iterator[str]:
    """Yield what is wrong with each split of a dataset that is not prepared."""
    for split in reader.classes():
        try:
            open_dataset(f"{reader.name}:{split}", data_root=data_root)
        except TransferenceError as error:
            yield str(error)


def show(mode: str, data_root: Path | None, side: int | None, classes: int, images: int, output: Path) -> None:
    """Do what ``transference datasets show`` was asked."""
    from transference.figures import check_name, contact_sheet, save

    check_name(output)
    name = _paired.asked_name(mode)
    if "[" in mode or find_paired(name, data_root):
        _paired.show_pairs(mode, data_root, side, classes, images, output)
        return
    ready = prepared_files(data_root, name) if data_root else []
    side = side or (ready[-1].side if ready else EPISODE["side"])
    reader: Prepared | DatasetReader = ready[0] if ready else find_reader(name, data_root)
    splits = [parse_mode(mode)[1]] if ":" in mode else list(split_sizes(reader))
    rows: list[tuple[str, Any]] = []
    for number, split in enumerate(splits):
        share = classes // len(splits) + (number < classes % len(splits))
        rows += _rows(
            open_dataset(f"{name}:{split}", data_root=data_root, side=side), share, images, with_split=":" not in mode
        )
    save(contact_sheet([pictures for _, pictures in rows], [label for label, _ in rows]), output)
    say(output)


def _rows(dataset: ImageDataset, classes: int, images: int, *, with_split: bool) -> list[tuple[str, Any]]:
    """Return label and images of some classes, spread evenly over all of them."""
    n = len(dataset.class_names)
    label = f"{dataset.split}: " if with_split else ""
    return [
        (
            f"{label}{dataset.class_names[c]}",
            dataset.images[dataset.starts[c] : min(dataset.starts[c] + images, dataset.starts[c + 1])].numpy(),
        )
        for c in _paired.spread(n, classes)
    ]
