"""From the name of a mode to its images."""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path

from transference.datasets._containers import file_containers, places_of, plain_reader
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
from transference.datasets._names import as_seen
from transference.datasets._unread import by_suffix, say, unread
from transference.datasets.originals import find_original
from transference.datasets.paired import find_paired, paired_names, prepared_pairs
from transference.datasets.prepared import Prepared, prepared_files
from transference.errors import DataError, UsageError

_GROUP = "transference.datasets"
_NAME = re.compile(r"[\w.-]+")
_MODE = re.compile(rf"(?P<name>{_NAME.pattern}(\[[^\[\]:]*\])?):(?P<split>[\w-]+)")


def parse_mode(text: str) -> tuple[str, str]:
    """Split ``"omniglot:train"`` into name and split; the name of paired data keeps its brackets, ``"watch[accel]"``.

    Raises:
        UsageError: the text is not of that form.
    """
    match = _MODE.fullmatch(as_seen(text))
    if not match:
        bare = _MODE.fullmatch(f"{as_seen(text)}:train")
        example = bare[0] if bare and "[" in text else "watch[accel]:train" if "[" in text else "omniglot:train"
        form = "NAME[MODALITIES]:SPLIT" if "[" in text else "NAME:SPLIT"
        raise UsageError(f"{text!r} does not name a mode and a split; write it as {form}, for example {example}.")
    return match["name"], match["split"]


def open_dataset(mode: str, *, data_root: str | Path | None = None, side: int = 28, channels: int = 3) -> ImageDataset:
    """Open one split of one mode: mapped into memory where it is prepared at this size, else decoded.

    Args:
        mode: ``"NAME:SPLIT"``.
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
    name, split = parse_mode(mode)
    check_size(side, channels)
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
        UsageError: it is paired data.
        DataError: there is none, or there are two.
    """
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
        return plain_reader(places[0])
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
        names += [as_seen(child.stem) for child in children if child.suffix in file_containers()]
        names += [as_seen(child.name) for child in children if child.is_dir() and not child.name.startswith(".")]
    return list(dict.fromkeys(names))


def stray_files(data_root: Path) -> list[str]:
    """Return what to say of files in ``data_root`` that are no dataset, such as archives still to be prepared."""
    ready = {file.path for file in prepared_files(data_root)} | {file.path for file in prepared_pairs(data_root)}
    read = file_containers()
    files = [path for path in data_root.iterdir() if path.is_file() and path.suffix not in read and path not in ready]
    kinds = by_suffix(path.name for path in files if not path.name.startswith("."))
    return [f"not read in {data_root}: {'; '.join(kinds)}"] if kinds else []


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
        reader = plain_reader(places[0])
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
