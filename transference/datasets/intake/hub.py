"""Datasets of the Hugging Face Hub, brought here by ``huggingface-hub``; what the Hub says of itself is not believed.

A revision is resolved to a commit first. Files are fetched beside each other, and each is taken only with the length and
digest that the commit lists for it: sha256 of large files, git's own of small ones.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path, PureWindowsPath
from queue import Queue
from threading import Event, Lock, Thread
from types import ModuleType
from typing import Any

from transference.datasets.intake.archives import Limits
from transference.datasets.intake.downloads import alone
from transference.errors import DataError, TransferenceError, UsageError, first_line, in_one_line
from transference.progress import Bar, progress_bar

_SCHEME = "hf://datasets/"
_ADDRESS = re.compile(
    r"(hf:/+datasets/)?(?P<repository>\w[\w.-]*/\w[\w.-]*)"
    r"(@(?P<revision>refs/(?:convert|pr)/[\w.-]+|[^/@\s]+))?(/(?P<path>.*))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
_AT_ONCE = 8
"""Files that are fetched at a time, as many as ``huggingface-hub`` fetches of its own accord."""

_BLOCK = 2**20
_UNFINISHED = ".cache"
"""Where ``huggingface-hub`` keeps what it knows of a folder's files; of no use once all of them are there."""


@dataclass(frozen=True)
class HubAddress:
    """A dataset of the Hub, or a part of it; as text ``hf://datasets/OWNER/NAME[@REVISION][/PATH]``.

    Attributes:
        repository: ``OWNER/NAME``.
        revision: a branch, tag or commit; None for the one that the Hub shows.
        path: of a folder or file in it; empty for all of it.
    """

    repository: str
    revision: str | None = None
    path: str = ""

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        return f"{_SCHEME}{self.repository}{at}{'/' if self.path else ''}{self.path}"

    @classmethod
    def parse(cls, text: str) -> HubAddress:
        """Return the address whose text this is, with ``hf://datasets/`` or without.

        Raises:
            UsageError: it is the text of none.
        """
        match = _ADDRESS.fullmatch(text.rstrip("/"))
        if not match or (match["path"] and not _stays_inside(match["path"])):
            raise UsageError(
                f"{text!r} names no dataset of the Hugging Face Hub; write it as {_SCHEME}OWNER/NAME, with @REVISION "
                "after the name, or /PATH of a folder or file in it, if need be."
            )
        return cls(match["repository"], match["revision"], match["path"] or "")


@dataclass(frozen=True)
class HubFile:
    """A file of a commit.

    Attributes:
        path: in the repository, with slashes.
        size: in bytes.
        digest: ``"sha256:…"``, or ``"git:…"``, which is sha1 of a header and the content.
    """

    path: str
    size: int
    digest: str

    def is_at(self, place: Path) -> bool:
        """Return whether a file is this one."""
        if not place.is_file() or place.stat().st_size != self.size:
            return False
        kind, _, digest = self.digest.partition(":")
        found = hashlib.new("sha256" if kind == "sha256" else "sha1", usedforsecurity=False)
        if kind == "git":
            found.update(b"blob %d\0" % self.size)
        with place.open("rb") as file:
            while block := file.read(_BLOCK):
                found.update(block)
        return found.hexdigest() == digest


@dataclass(frozen=True)
class HubListing:
    """What an address stands for at the moment.

    Attributes:
        address: as it was asked for, its revision resolved to a commit.
        files: those below its path, sorted.
    """

    address: HubAddress
    files: tuple[HubFile, ...]

    @property
    def commit(self) -> str:
        """The commit, 40 hexadecimal digits."""
        return self.address.revision or ""


def list_hub(address: HubAddress) -> HubListing:
    """Ask the Hub for the commit that a revision is, and for its files.

    Raises:
        UsageError: ``huggingface-hub`` is not installed.
        DataError: the Hub cannot be reached, has no such dataset, revision or path, or lets nobody in.
    """
    hub = _library()
    with _told(address):
        api = _api(hub)
        found = api.dataset_info(address.repository, revision=address.revision).sha
        if not isinstance(found, str) or not _COMMIT.fullmatch(found):
            raise DataError(_nonsense(address, f"the commit {found!r}"))
        at = HubAddress(address.repository, found, address.path)
        files: list[HubFile] = []
        for entry in api.list_repo_tree(address.repository, recursive=True, revision=found, repo_type="dataset"):
            if isinstance(entry, hub.RepoFile) and _below(entry.path, address.path):
                files.append(_checked(entry, address))
            if len(files) > Limits().files:
                raise DataError(f"{address} has more than {Limits().files} files; name a folder of it.")
    if not files:
        raise DataError(f"{address.repository} has no {address.path or 'files'} at {found}; is its name right?")
    return HubListing(at, tuple(sorted(files, key=lambda file: file.path)))


def fetch(listing: HubListing, chosen: Sequence[HubFile], folder: Path, *, progress: bool = False) -> None:
    """Bring files into a folder, those that are not there already. What came before an interruption is kept.

    Args:
        listing: whose files they are.
        chosen: what to bring.
        folder: for this commit alone; files lie in it as they do in the repository.
        progress: show a bar on stderr.

    Raises:
        UsageError: another process brings them at the moment, or ``huggingface-hub`` is not installed.
        DataError: the disk has too little room, the connection breaks for good, or a file is another one than listed.
    """
    hub, address = _library(), listing.address
    if odd := [file.path for file in chosen if not _stays_inside(file.path)]:
        raise DataError(
            f"{address} has a file called {in_one_line(odd[0])!r}, which would lie outside of its folder; nothing was fetched."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        absent = [file for file in chosen if not file.is_at(folder / file.path)]
        needed, free = sum(file.size for file in absent), shutil.disk_usage(folder).free
        if needed > free:
            raise DataError(f"{folder} has {free / 1e9:.1f} GB left; {address} needs {needed / 1e9:.1f} GB more.")
        total = sum(file.size for file in chosen)
        with (
            _told(address),
            progress_bar(total, unit="B", shown=progress, initial=total - needed, unit_scale=True) as bar,
        ):
            _bring(hub, listing, absent, folder, bar)
        shutil.rmtree(folder / _UNFINISHED, ignore_errors=True)


def _bring(hub: ModuleType, listing: HubListing, absent: Sequence[HubFile], folder: Path, bar: Bar) -> None:
    """Fetch files, some at a time; the first that fails, or a Ctrl-C, ends the others too."""
    ended = Event()
    api, shares = _api(hub), _shares(bar, ended)

    def one(file: HubFile) -> None:
        place = folder / file.path
        place.unlink(missing_ok=True)  # what lies there is another file, or a part of this one
        api.hf_hub_download(
            listing.address.repository, file.path, repo_type="dataset", revision=listing.commit, local_dir=folder,
            tqdm_class=shares,
        )  # fmt: skip
        if not file.is_at(place):
            place.unlink(missing_ok=True)
            raise DataError(
                f"{listing.address.repository}: {in_one_line(file.path)} came otherwise than {listing.commit} lists it "
                f"({file.size} bytes, {file.digest}). It is not kept; repeat the command to fetch it again."
            )

    waiting, done = deque(absent), Queue[Exception | None]()

    def work() -> None:
        with suppress(IndexError):  # nothing waits any more
            while not ended.is_set():
                file = waiting.popleft()
                try:
                    one(file)
                except Exception as error:  # for whoever waits for the files to raise
                    done.put(error)
                else:
                    done.put(None)

    # Daemons, since a Ctrl-C does not wait until a slow server has sent the next block.
    threads = [Thread(target=work, daemon=True) for _ in absent[:_AT_ONCE]]
    for thread in threads:
        thread.start()
    try:
        failed = next(filter(None, (done.get() for _ in absent)), None)
    finally:
        ended.set()
    for thread in threads:
        thread.join()
    if failed:
        raise failed


class _EndedError(Exception):
    """Another file failed, or the command was interrupted."""


def _shares(bar: Bar, ended: Event) -> type:
    """Return what ``huggingface-hub`` takes for a bar of each file: its share of the one of all, and where it can be ended."""
    lock = Lock()

    class Share:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> Share:
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, n: float | None = 1) -> None:
            if ended.is_set():
                raise _EndedError
            with lock:
                bar.update(n)

        def update_transfer(self, _: float | None = 1) -> None: ...

        def set_postfix_str(self, *_: object, **__: object) -> None: ...

        def set_transfer_postfix_str(self, *_: object, **__: object) -> None: ...

        def close(self) -> None: ...

    return Share


def _library() -> ModuleType:
    """Return ``huggingface-hub``.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return import_module("huggingface_hub")
    except ImportError as error:
        raise UsageError(
            f"Datasets of the Hugging Face Hub are fetched by huggingface-hub, which cannot be imported ({error}): "
            "pip install 'transference[hub]'."
        ) from error


def _api(hub: ModuleType) -> Any:  # noqa: ANN401 - a library that may be absent
    """Return what speaks with the Hub that the environment names, as the user that is logged in; it tells nothing of this machine."""
    return hub.HfApi(endpoint=_endpoint(), headers={"user-agent": f"transference/{version('transference')}"})


def _endpoint() -> str | None:
    """Return where the environment says that the Hub is, None for where the library knows it to be."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _below(path: object, prefix: str) -> bool:
    return not prefix or path == prefix or str(path).startswith(f"{prefix}/")


def _stays_inside(path: str) -> bool:
    """Return whether a path leads to a place below the folder that it is put into, on any system."""
    parts = path.split("/")
    return all(part not in ("", ".", "..") and "\\" not in part and not PureWindowsPath(part).drive for part in parts)


def _checked(entry: Any, address: HubAddress) -> HubFile:  # noqa: ANN401 - a library that may be absent
    """Return a file as it is listed.

    Raises:
        DataError: what is listed is no file.
    """
    large = entry.lfs
    kind, digest, form = ("sha256", large.sha256, _SHA256) if large else ("git", entry.blob_id, _SHA1)
    if not isinstance(entry.size, int) or entry.size < 0 or not form.fullmatch(str(digest)):
        raise DataError(_nonsense(address, f"a file of {entry.size} bytes with the digest {digest!r}"))
    return HubFile(str(entry.path), entry.size, f"{kind}:{digest}")


def _nonsense(address: HubAddress, what: str) -> str:
    return f"{address} cannot be read: {_endpoint() or 'the Hub'} answers {in_one_line(what)}, which makes no sense."


@contextmanager
def _told(address: HubAddress) -> Iterator[None]:
    """Tell in one line what ``huggingface-hub``, its client or a server makes go wrong, and keep its own lines back.

    Raises:
        DataError: something did.
        TransferenceError: the block said so itself.
    """
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    except TransferenceError:
        raise
    except Exception as error:  # its own errors, its client's, and what code makes of an answer that it does not expect
        raise DataError(f"{address} {_why(address, error)}") from error
    finally:
        log.setLevel(level)


def _why(address: HubAddress, error: BaseException) -> str:
    """Return why something failed, and what to do; of an answer only its status, since addresses in it may be signed."""
    if (
        type(error).__name__ == "LocalEntryNotFoundError" and error.__cause__
    ):  # says no more than that there is another one
        error = error.__cause__
    code = getattr(getattr(error, "response", None), "status_code", None)
    where = _endpoint()
    hub, page = where or "the Hub", f"{where or 'Hub'}/datasets/{address.repository}"
    absent = (
        f"cannot be fetched: there is no {page}, or it is private ({code}). Is its name right? To one that is private "
        "log in (hf auth login), and repeat the command."
    )
    by_kind = {
        "OfflineModeIsEnabled": "cannot be fetched: HF_HUB_OFFLINE is set; unset it, and repeat the command.",
        "GatedRepoError": f"is gated: ask for access on {page}, log in (hf auth login), and repeat the command.",
        "RevisionNotFoundError": f"cannot be fetched: {page} has no revision {address.revision}.",
        "RepositoryNotFoundError": absent,
    }
    by_code = {
        401: absent,
        403: f"cannot be fetched: {hub} forbids it (403). May the token that you are logged in with read {page}?",
        404: absent,
    }
    for kind in type(error).__mro__:  # a gated one is also one that is not found
        if kind.__name__ in by_kind:
            return by_kind[kind.__name__]
    if code is not None:
        return by_code.get(
            code, f"could not be fetched: {hub} answers {code}. Repeat the command later to go on from there."
        )
    return f"could not be fetched: {in_one_line(first_line(error))}. Repeat the command to go on from there."
