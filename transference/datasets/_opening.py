"""From the name of a mode to its images."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path

from transference.addresses import refuse_address
from transference.datasets._containers import file_containers, name_of, places_of, plain_reader
from transference.datasets._generated import GeneratedMode
from transference.datasets._images import (
    DatasetReader,
    ImageDataset,
    check_size,
    no_split,
    read_split,
    require_folder,
    require_split,
)
from transference.datasets._names import as_seen, usable_name
from transference.datasets._opened import Opened
from transference.datasets._tree import look
from transference.datasets._unread import by_suffix, few, say, unread
from transference.datasets.originals import find_original
from transference.datasets.paired import find_paired, paired_names, prepared_pairs
from transference.datasets.parquet import holds_pictures
from transference.datasets.prepared import Prepared, prepared_files
from transference.errors import DataError, UsageError

_GROUP = "transference.datasets"
_OF_RUNS = {"run.json", "training.json"}
"""Files of a run folder, and of one of checkpoints."""
_NAME = re.compile(r"[\w.-]+")
_MODE = re.compile(rf"(?P<name>{_NAME.pattern}(\[[^\[\]:]*\])?):(?P<split>[\w-]+)")


def parse_mode(text: str) -> tuple[str, str]:
    """Split ``"omniglot:train"`` into name and split; the name of paired data keeps its brackets, ``"watch[accel]"``.

    Raises:
        UsageError: the text is not of that form.
    """
    match = _MODE.fullmatch(as_seen(text))
    if not match:
        refuse_address(text)
        bare = _MODE.fullmatch(f"{as_seen(text)}:train") if "[" in text else _MODE.fullmatch(_made(text))
        example = bare[0] if bare else "watch[accel]:train" if "[" in text else "omniglot:train"
        form = "NAME[MODALITIES]:SPLIT" if "[" in text else "NAME:SPLIT"
        raise UsageError(f"{text!r} does not name a mode and a split; write it as {form}, for example {example}.")
    return match["name"], match["split"]


def _made(text: str) -> str:
    """Return a mode such as a text may mean, its name made usable, its split train if there is none."""
    name, colon, split = text.rpartition(":") if ":" in text else (text, "", "")
    return f"{usable_name(name)}:{split if colon and split else 'train'}"


def only_split(name: str, data_root: str | Path | None = None) -> str | None:
    """Return the split that the mode called ``name`` alone means: the only one that its data have; None if there is no such.

    Args:
        name: of a dataset, or of modalities of paired data, ``"watch[accel]"``.
        data_root: the folder with prepared files, ``NAME.parquet`` or ``NAME/``.

    Raises:
        DataError: the dataset is damaged, or two are called so.
    """
    splits = _splits(name, data_root)
    return splits[0] if len(splits) == 1 else None


def in_full(mode: str, data_root: str | Path | None = None) -> str:
    """Return a mode as ``"NAME:SPLIT"``, also where it names a dataset alone that has one split.

    Raises:
        UsageError: it names a dataset alone that has several.
        DataError: the dataset is damaged, or two are called so.
    """
    name = as_seen(mode)
    splits = [] if ":" in name else _splits(name, data_root)
    if len(splits) > 1:
        raise UsageError(
            f"{mode!r} does not name a mode and a split; write it as {'NAME[MODALITIES]' if '[' in name else 'NAME'}:SPLIT, for example "
            f"{name}:{splits[0]}; there are {', '.join(splits)}."
        )
    return f"{name}:{splits[0]}" if splits else mode


def _splits(name: str, data_root: str | Path | None) -> list[str]:
    """Return the splits of a dataset, also those that cannot be read; none if there is no such dataset."""
    root, bare = Path(data_root) if data_root is not None else None, name.partition("[")[0]
    root = root if root and root.is_dir() else None  # whether it has to be there is for others to say
    if pairs := find_paired(bare, root):
        return list(pairs.classes()) if bare != name else []  # of paired data modalities are named first
    if bare != name:
        return []
    ready = prepared_files(root, name) if root else []
    if not ready and not entry_points(group=_GROUP, name=name) and not (root and places_of(name, root)):
        return []
    reader: DatasetReader | Prepared = ready[0] if ready else find_reader(name, root)
    return list(dict.fromkeys([*reader.classes(), *unread(reader).splits]))


def open_dataset(mode: str, *, data_root: str | Path | None = None, side: int = 28, channels: int = 3) -> ImageDataset:
    """Open one split of one mode: mapped into memory where it is prepared at this size, else decoded.

    Args:
        mode: ``"NAME:SPLIT"``; of a dataset with a single split ``"NAME"`` will do.
        data_root: the folder with prepared files, ``NAME.parquet`` or ``NAME/``; not needed for the generated modes.
        side: pixels along each edge.
        channels: 1 or 3.

    Returns:
        The dataset with ``images [n, channels, side, side]`` uint8 in host memory.

    Raises:
        UsageError: ``mode`` is not of the form ``NAME:SPLIT``.
        DataError: there is no such dataset or split, it is damaged, or it is only prepared at another size.

    Example:
        >>> open_dataset("strokes:val").images.shape
        torch.Size([480, 3, 28, 28])
    """
    name, split = parse_mode(in_full(mode, data_root))
    check_size(side, channels)
    dataset = _opened(name, split, data_root, side, channels)
    return replace(dataset, opened=Opened.of([dataset.images], name, split, data_root, side, channels))


def _opened(name: str, split: str, data_root: str | Path | None, side: int, channels: int) -> ImageDataset:
    """Return a split, which is prepared, drawn or decoded.

    Raises:
        DataError: there is none.
    """
    source = _source(name, data_root, side, channels)
    if isinstance(source, GeneratedMode):
        if split not in source.classes():  # there is no folder of its own that could be called by another word
            raise DataError(no_split(name, source.where, split, source.classes()))
        return _drawn(source, split, side, channels)
    require_split(source, split)
    for line in unread(source).lines:
        say(f"{name} ({source.where}): {line}")
    return source.open(split, channels) if isinstance(source, Prepared) else read_split(source, split, side, channels)


def _source(name: str, data_root: str | Path | None, side: int, channels: int) -> DatasetReader | Prepared:
    """Return what the images of a mode are read from: a prepared file of this size, else what decodes them.

    Raises:
        DataError: there is no such dataset, or it is only prepared at another size.
    """
    ready = prepared_files(Path(data_root), name) if data_root is not None else []
    if not ready:
        return find_reader(name, data_root)
    _refuse_pairs(name, data_root)
    beside = _beside(name, Path(data_root or ""), ready)
    fitting = [file for file in ready if file.side == side and file.channels in {1, channels}]
    if fitting:
        return fitting[-1]
    if beside:
        return beside
    if side in {file.side for file in ready}:
        raise DataError(
            f"{name} is prepared with 3 channels in {data_root}, but 1 was asked for. Ask with --channels 3."
        )
    sides = " and ".join(str(file.side) for file in ready)
    raise DataError(
        f"{name} is prepared at {sides} pixels a side in {data_root}, but {side} were asked for. "
        f"Ask with --side {ready[0].side}, or prepare it with --side {side} too."
    )


@lru_cache(maxsize=9)  # three splits of three modes
def _drawn(reader: GeneratedMode, split: str, side: int, channels: int) -> ImageDataset:
    """Return a split of a generated mode, which is drawn once in a process: a second for what never changes."""
    return read_split(reader, split, side, channels)


def find_reader(name: str, data_root: str | Path | None = None) -> DatasetReader:
    """Return the reader of the mode called ``name``, which decodes its images; prepared files are not looked at.

    Raises:
        UsageError: it is paired data, or an address.
        DataError: there is none, or there are two.
    """
    refuse_address(name)
    _refuse_pairs(name, data_root)
    registered = entry_points(group=_GROUP, name=name)
    root = Path(data_root) if data_root is not None else None
    places = [] if root is None else places_of(name, root)
    if len(places) + len(registered) > 1:
        found = [*(f"the registered mode {name}" for _ in registered), *map(str, places)]
        raise DataError(f"Both {' and '.join(found)} could be {name}; rename or move one of them.")
    if registered:
        reader: DatasetReader = next(iter(registered)).load()()
        return reader
    if places:
        return plain_reader(places[0], name)
    known = dataset_names(root)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    if find_original(name):
        hint = f" To bring it here: transference datasets prepare {name} --from PLACE --data-root {root or 'DIR'}."
    if root is None:
        advice = f"give the folder that holds it with --data-root. Without one there are: {', '.join(known)}."
        raise DataError(f"There is no generated mode {name!r}; {advice}{hint}")
    raise DataError(
        f"There is no dataset {name!r}, neither generated nor in {root}; there are: {', '.join(known)}.{hint}"
    )


def _refuse_pairs(name: str, data_root: str | Path | None) -> None:
    """Raise `UsageError` if the name is one of paired data, or of some of their modalities.

    Raises:
        UsageError: it is.
    """
    if "[" in name:
        raise UsageError(f"{name} names modalities of paired data, and images were asked for; open it with open_tasks.")
    if pairs := find_paired(name, data_root):
        one = pairs.modalities[0].name
        raise UsageError(
            f"{name} ({pairs.where}) is paired data, which has {', '.join(m.name for m in pairs.modalities)}; ask for some "
            f"of it, for example {name}[{one}], or for all of it, {name}[*]."
        )


def dataset_names(data_root: str | Path | None = None) -> list[str]:
    """Return the names of the registered modes, then of those in ``data_root``."""
    names = sorted(entry_points(group=_GROUP).names)
    if data_root is not None:
        root = Path(data_root)
        require_folder(root)
        children = sorted(root.iterdir())
        names += [file.name for file in prepared_files(root)]
        names += [name_of(child) for child in children if child.suffix in file_containers()]
        names += [name_of(child) for child in children if child.is_dir() and _is_place(child)]
    return list(dict.fromkeys(names))


def stray_files(data_root: Path) -> list[str]:
    """Return what to say of what lies in ``data_root`` and is no dataset: archives still to be prepared, folders of other things."""
    ready = {file.path for file in prepared_files(data_root)} | {file.path for file in prepared_pairs(data_root)}
    read, children = file_containers(), sorted(data_root.iterdir())
    files = [path for path in children if path.is_file() and path.suffix not in read and path not in ready]
    kinds = by_suffix(path.name for path in files if not path.name.startswith("."))
    folders = [f"{path.name}/" for path in children if path.is_dir() and _is_place(path) and is_other(path)]
    taken = [path for path in children if path not in places_of(name_of(path), data_root) and _is_place(path)]
    return [
        *([f"not read in {data_root}: {'; '.join(kinds)}"] if kinds else []),
        *([f"no datasets in {data_root}, since they hold runs or no images: {few(folders)}"] if folders else []),
        *(f"{path} is not read: {name_of(path)}, its name, is another's here; rename one of them" for path in taken),
    ]


def _is_place(path: Path) -> bool:
    """Return whether something in a data root is where a dataset could lie."""
    return path.suffix in file_containers() or (path.is_dir() and not path.name.startswith("."))


def is_other(folder: Path) -> bool:
    """Return whether a folder is no dataset: it holds runs or trainings, figures of these or not, or no images, nor tables of such.

    Raises:
        OSError: it cannot be opened.
    """
    inside = look(folder).all
    if any(_OF_RUNS & set(inner.files) for inner in inside):
        return True
    return not any(inner.images or any(holds_pictures(inner.path / file) for file in inner.files) for inner in inside)


def check_new_name(name: str) -> None:
    """Raise `UsageError` unless a dataset can be prepared under this name.

    Raises:
        UsageError: no mode can have it, or a generated one has.
    """
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise UsageError(f"{name!r} cannot be the name of a mode; use letters, digits, '.', '_' and '-'.")
    if name in entry_points(group=_GROUP).names:
        raise UsageError(f"{name} is a generated mode, which needs no preparing; choose another name for your images.")
    if name in paired_names():
        raise UsageError(f"{name} is generated paired data, which needs no preparing; choose another name for yours.")


def _beside(name: str, root: Path, ready: list[Prepared]) -> DatasetReader | None:
    """Return the reader of images that lie beside their prepared files and are read as they are, None if there is none.

    Raises:
        DataError: what lies there is not, or no longer, what the files were prepared from.
    """
    places = places_of(name, root)
    if not places and name not in entry_points(group=_GROUP).names:
        return None
    if len(places) == 1 and all(
        file.about.get("in_data_root") and file.about.get("from") == places[0].name for file in ready
    ):
        _check_older(places[0], ready)
        if not all(file.about.get("as_it_is") for file in ready):
            return None  # other splits or shades: only the prepared files are the mode
        reader = plain_reader(places[0], name)
        if all(file.about.get("images") == reader.mark().content for file in ready):
            return reader
        raise DataError(
            f"{places[0]} has other images than when {ready[0].path} was prepared from it. Prepare {name} again with --force."
        )
    found = [*map(str, places), *(["the registered mode"] if not places else [])]
    raise DataError(
        f"Both {' and '.join(found)} and the prepared file {ready[0].path} could be {name}; rename or move one of them."
    )


def _check_older(place: Path, ready: list[Prepared]) -> None:
    """Raise `DataError` if a file was written after the prepared ones.

    Raises:
        DataError: one was.
    """
    first = min(file.path.stat().st_mtime for file in ready)
    for path in (place, *place.rglob("*")) if place.is_dir() else (place,):
        if path.is_file() and path.stat().st_mtime > first:
            raise DataError(
                f"{path} was written after {ready[0].path}, which was prepared from it. Prepare it again with --force."
            )
