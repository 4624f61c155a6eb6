"""Which files of a dataset of the Hugging Face Hub are fetched, and where they are put."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from transference.datasets._containers import file_containers
from transference.datasets._images import require_folder
from transference.datasets._layout import configurations
from transference.datasets._tree import is_image
from transference.datasets._unread import by_suffix, counted, few
from transference.datasets.intake import HubAddress, HubFile, HubListing, fetch, list_hub
from transference.datasets.originals import Original
from transference.datasets.preparing._places import ARCHIVES
from transference.errors import DataError

DOWNLOADS = ".downloads"
"""The folder of a data root in which downloads are kept."""

_TABLES = (".csv",)
"""What lies beside the archives of a dataset as it is distributed, and says which image is of which class."""


@dataclass(frozen=True)
class Fetched:
    """A dataset of the Hub that is here now.

    Attributes:
        place: where it can be prepared from.
        origin: its address, with the commit.
    """

    place: Path
    origin: str


def fetch_from_hub(
    address: HubAddress, original: Original | None, data_root: Path, say: Callable[[str], None], *, progress: bool
) -> Fetched:
    """Bring what can be prepared of a dataset of the Hub into the data root, where it is kept.

    Args:
        address: of the dataset, or of a folder or file in it.
        original: the dataset that may lie there as it is distributed.
        data_root: files go into its ``.downloads/hub/OWNER--NAME/COMMIT``.
        say: told which commit it is, and what is not fetched.
        progress: show a bar on stderr.

    Raises:
        UsageError: ``huggingface-hub`` is not installed, or another process fetches the same.
        DataError: the Hub does not give it, there is nothing that could be prepared, or several datasets.
    """
    if data_root.exists():
        require_folder(data_root)
    listing = list_hub(address)
    chosen = choose(listing, original)
    owner, name = address.repository.split("/")
    folder = data_root / DOWNLOADS / "hub" / f"{owner}--{name}" / listing.commit
    size = sum(file.size for file in chosen)
    say(f"{address} is the commit {listing.commit}; {counted(len(chosen), 'file')}, {size / 1e6:.1f} MB, into {folder}")
    taken = {file.path for file in chosen}
    if left := by_suffix(file.path for file in listing.files if file.path not in taken):
        say(f"not fetched: {'; '.join(left)}")
    fetch(listing, chosen, folder, progress=progress)
    alone = chosen[0].path if len(chosen) == 1 and _is_archive(chosen[0].path) else address.path
    return Fetched(folder / alone, str(listing.address))


def choose(listing: HubListing, original: Original | None) -> list[HubFile]:
    """Return the files that can be prepared: archives of a known form, else parquet files, else images, else one archive.

    Args:
        listing: of the commit.
        original: the dataset that may lie there as it is distributed.

    Raises:
        DataError: there are none, or they are of several datasets.
    """
    address = listing.address
    seen = [file for file in listing.files if not _is_hidden(file.path)]
    top = [file for file in seen if str(PurePosixPath(file.path).parent) == (address.path or ".")]
    if original and any(PurePosixPath(file.path).name in original.archives for file in top):
        return [f for f in top if PurePosixPath(f.path).name in original.archives or f.path.endswith(_TABLES)]
    if tables := [file for file in seen if file.path.endswith(tuple(file_containers()))]:
        _require_one(tables, address)
        return tables
    loose = {file.path for file in top}
    if images := [file for file in seen if is_image(file.path) and file.path not in loose]:
        return images
    archives = [file for file in seen if _is_archive(file.path)]
    if len(archives) == 1:
        return archives
    if archives:
        raise DataError(
            f"{address} holds {len(archives)} archives ({few(file.path for file in archives)}), and one is prepared at a "
            f"time; name it, for example {HubAddress(address.repository, address.revision, archives[0].path)}."
        )
    found = "; ".join(by_suffix(file.path for file in listing.files))
    raise DataError(
        f"{address} holds no parquet file, images in class folders or archive, but {found}. The Hub keeps many datasets as "
        f"parquet too: try hf://datasets/{address.repository}@refs/convert/parquet."
    )


def _require_one(tables: Sequence[HubFile], address: HubAddress) -> None:
    """Raise `DataError` if parquet files are of several configurations.

    Raises:
        DataError: they are.
    """
    root = Path(address.path)
    if any(file.path == address.path for file in tables):
        return
    if len(configs := configurations([Path(file.path) for file in tables], root)) > 1:
        one = HubAddress(address.repository, address.revision, (root / configs[0]).as_posix())
        raise DataError(
            f"{address} holds {len(configs)} configurations ({few(configs, 6)}), which are datasets of their own; name one, "
            f"for example {one}."
        )


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in path.split("/"))


def _is_archive(path: str) -> bool:
    return path.lower().endswith(ARCHIVES)
