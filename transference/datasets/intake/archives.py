"""Unpacking of tar and zip archives that may be hostile.

Taken are regular files and folders only, by relative names without ``..``. Links, devices, sparse files, encrypted entries, names given
twice, too many files, too many bytes and a suspicious ratio of compression are refused. What is unpacked appears under its name only when
the whole archive has been read and found good.
"""

from __future__ import annotations

import bz2
import gzip
import io
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from transference.errors import DataError


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold.

    Attributes:
        files: files and folders.
        size: bytes, unpacked.
        ratio: unpacked bytes for each byte of the archive. Images hardly compress: the archives of our five datasets stay below 3.
        depth: folders within folders.
    """

    files: int = 2_000_000
    size: int = 64 * 2**30
    ratio: float = 100.0
    depth: int = 32


_SLACK = 2**20
"""Bytes that an archive may unpack to whatever its ratio; small lists of words compress well."""

_HEADER = 2**24
"""The most that is read in one go. The tar reader asks for as many bytes as an extended header claims to have."""

_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    OSError,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


def is_archive(path: Path) -> bool:
    """Whether the file is a zip or tar archive, the latter plain or compressed with gzip or bzip2. Its content decides, not its name."""
    return path.is_file() and (_is_tar(path) or zipfile.is_zipfile(path))


def unpack(archive: Path, target: Path, limits: Limits = Limits()) -> None:
    """Unpack an archive into a new folder, all of it or nothing.

    Args:
        archive: a zip or tar file.
        target: the folder to make; must not exist.
        limits: how much the archive may hold.

    Raises:
        DataError: the archive is damaged, not one at all, too large, or holds something that has no place in a folder of images. Then
            nothing has been written outside of a temporary folder beside ``target``, and that is gone.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        place = Path(scratch) / "unpacked"
        place.mkdir()
        try:
            entries = _tar_entries if _is_tar(archive) or not zipfile.is_zipfile(archive) else _zip_entries
            _write(entries(archive, limits), place, _Account(archive, limits))
        except _BROKEN as error:
            raise DataError(
                f"{archive} cannot be unpacked ({error or type(error).__name__}). Is it whole? Copy or download it again."
            ) from error
        place.rename(target)


@dataclass(frozen=True)
class _Entry:
    """A file or folder of an archive; ``content`` is None for a folder."""

    name: str
    content: Callable[[], IO[bytes]] | None


class _Account:
    """How much an archive has used of its limits."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        self.archive, self.limits = archive, limits
        self.size = self.files = 0
        self._most = min(limits.size, limits.ratio * archive.stat().st_size + _SLACK)

    def add_file(self) -> None:
        """Count one entry.

        Raises:
            DataError: there are too many.
        """
        self.files += 1
        if self.files > self.limits.files:
            raise DataError(
                f"{self.archive} holds more than {self.limits.files} files; unpack it by hand if you trust it."
            )

    def add_bytes(self, n: int) -> None:
        """Count unpacked bytes.

        Raises:
            DataError: there are too many, for this archive or at all.
        """
        self.size += n
        if self.size > self._most:
            why = (
                f"more than {self.limits.size} bytes"
                if self._most == self.limits.size
                else f"more than {self.limits.ratio:g} times its own size"
            )
            raise DataError(
                f"{self.archive} unpacks to {why}, as a decompression bomb would; unpack it by hand if you trust it."
            )


def _write(entries: Iterator[_Entry], place: Path, account: _Account) -> None:
    for entry in entries:
        account.add_file()
        path = place / _checked(entry.name, account)
        if entry.content is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with entry.content() as source, path.open("xb") as file:
                while part := source.read(2**18):
                    account.add_bytes(len(part))
                    file.write(part)
        except FileExistsError as error:
            raise DataError(
                f"{account.archive} holds {entry.name} twice; which one is meant cannot be known."
            ) from error


def _checked(name: str, account: _Account) -> PurePosixPath:
    """Return an entry's name as a path below the target.

    Raises:
        DataError: it could lead elsewhere, or no file can have it.
    """
    path = PurePosixPath(name)
    bad = (
        not name.strip("/. ")
        or path.is_absolute()
        or ".." in path.parts
        or any(ord(letter) < 32 or letter == "\\" for letter in name)
        or name[1:2] == ":"  # a drive letter
        or any(len(part.encode("utf-8", "surrogateescape")) > 255 for part in path.parts)
        or len(path.parts) > account.limits.depth
    )
    if bad and path.parts:  # "./", which many archives begin with, is the target itself
        raise DataError(
            f"{account.archive} holds {name!r}, which is not a plain relative name; an archive of images has no such entry."
        )
    return path


def _zip_entries(archive: Path, limits: Limits) -> Iterator[_Entry]:
    """Yield the entries of a zip archive.

    Raises:
        DataError: one is no regular file or folder.
    """
    with zipfile.ZipFile(archive) as file:
        infos = file.infolist()
        if len(infos) > limits.files:
            raise DataError(
                f"{archive} holds {len(infos)} files, more than {limits.files}; unpack it by hand if you trust it."
            )
        for info in infos:
            mode = info.external_attr >> 16
            if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(
                    f"{archive} holds {info.filename!r}, a link or device; an archive of images has regular files only."
                )
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # the others are unpacked without any bound
                raise DataError(
                    f"{archive} holds {info.filename!r}, compressed in a way that is not read; unpack it by hand."
                )
            if info.flag_bits & 0x1:
                raise DataError(f"{archive} holds {info.filename!r}, which is encrypted; unpack it by hand.")
            yield _Entry(info.filename, None if info.is_dir() else lambda info=info: file.open(info))  # type: ignore[misc]


def _tar_entries(archive: Path, limits: Limits) -> Iterator[_Entry]:
    """Yield the entries of a tar archive, read once from its beginning to its end.

    Raises:
        DataError: one is no regular file or folder.
        ReadError: the archive is damaged.
    """
    with ExitStack() as stack:
        stream = _Guarded(_decompressed(archive), _Account(archive, limits))
        stack.callback(stream.close)
        file = stack.enter_context(tarfile.open(fileobj=stream, mode="r:", errorlevel=2))
        for member in file:
            if not (member.isreg() or member.isdir()) or member.issparse() or member.size < 0:
                raise DataError(
                    f"{archive} holds {member.name!r}, a link, device or sparse file; an archive of images has regular files only."
                )
            yield _Entry(member.name, None if member.isdir() else lambda member=member: _content(file, member))  # type: ignore[misc]
            file.members = []  # type: ignore[attr-defined]  # nobody asks for them again, and a million of them take a gigabyte
        # A damaged header ends the archive for the library as the two blocks of zeros do, and without a word.
        stream.seek(file.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"a damaged header at byte {file.offset}")
        while stream.read(2**18):  # to the end, where gzip keeps its checksum
            pass


def _content(file: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = file.extractfile(member)
    if content is None:
        raise tarfile.ReadError(f"{member.name} has no content")
    return content


class _Guarded(io.RawIOBase):
    """A stream that ends in an error when it gives, or is asked for, more than it should."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, account: _Account) -> None:
        self._stream, self._account = stream, account

    def close(self) -> None:
        """Close what is below."""
        self._stream.close()
        super().close()

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes.

        Raises:
            DataError: that is more than any header of an honest archive needs, or in sum more than the limits allow.
        """
        if not 0 <= size <= _HEADER:
            raise DataError(
                f"{self._account.archive} has a header that claims {size} bytes; an archive of images has no such header."
            )
        part = self._stream.read(size)
        self._account.add_bytes(len(part))
        return part

    def tell(self) -> int:
        """Return the position."""
        return self._stream.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position; what is skipped has to be unpacked too, so it counts."""
        before = self._stream.tell()
        after = self._stream.seek(offset, whence)
        self._account.add_bytes(max(0, after - before))
        return after


def _decompressed(path: Path) -> IO[bytes] | gzip.GzipFile:
    with path.open("rb") as file:
        magic = file.read(3)
    if magic[:2] == b"\x1f\x8b":
        return gzip.open(path, "rb")
    return bz2.open(path, "rb") if magic == b"BZh" else path.open("rb")


def _is_tar(path: Path) -> bool:
    try:
        with _decompressed(path) as stream:
            tarfile.TarInfo.frombuf(stream.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except (tarfile.TarError, EOFError, OSError, zlib.error):
        return False
    return True
