"""Downloads that are whole and right, or told to have failed.

A file is fetched beside its place, over https alone, and gets its name only when its length and digest are those expected. What came of an
interrupted download is kept and continued.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urljoin, urlsplit

from transference.datasets._held import held
from transference.errors import DataError
from transference.progress import Bar, progress_bar

_PART = 2**18
_BLOCK = 2**20
_RANGE = re.compile(r"bytes (?P<start>[0-9]{1,18})-[0-9]{1,18}/(?P<size>[0-9]{1,18}|\*)")
_LENGTH = re.compile(r"[0-9]{1,18}")
_MOST = 16 * 2**30
"""Bytes of a file whose length is not known."""

_GONE = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Remote:
    """A file to download.

    Attributes:
        url: where it is.
        size: its length in bytes.
        digest: ``"sha256:…"``, or ``"md5:…"`` where its publisher gives no other.
    """

    url: str
    size: int | None
    digest: str

    @property
    def name(self) -> str:
        """Return the name of the file."""
        return Path(urlsplit(self.url).path).name


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server.

    Attributes:
        timeout: seconds without a single byte.
        attempts: attempts in a row that bring nothing new.
        pause: seconds between two attempts.
    """

    timeout: float = 30.0
    attempts: int = 5
    pause: float = 2.0


def download(
    remote: Remote,
    folder: Path,
    *,
    schemes: Collection[str] = ("https",),
    patience: Patience = Patience(),
    progress: bool = False,
) -> Path:
    """Download a file, or do nothing if it is there already and right.

    Args:
        remote: what to download.
        folder: where to put it.
        schemes: what the address, and every address that the server sends us on to, may begin with.
        patience: how long to wait.
        progress: show a bar on stderr.

    Returns:
        The file.

    Raises:
        DataError: the server does not answer, stops for good, sends us elsewhere than https, or sends another file than the one expected. A
            part that may be good is kept for the next attempt; a wrong file is not.
    """
    path = folder / remote.name
    if path.exists():
        _check(path, remote, f"{path} was there already")
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{remote.name}.part"
    opener = urllib.request.build_opener(_Redirects(schemes))
    _check_scheme(remote.url, remote.url, schemes)
    with (
        alone(part),
        progress_bar(remote.size, unit="B", shown=progress, unit_scale=True, desc=remote.name) as bar,
    ):
        failures, last, most = 0, "", _size(part)
        while failures < patience.attempts:
            try:
                if _fetch(opener, remote, part, patience.timeout, bar):
                    break
                last = "the server ended the transfer early"
            except _GONE as error:
                last = _told(error)
                if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in (408, 416, 429):
                    raise DataError(
                        f"{remote.url} cannot be downloaded: {last}. Is the address still right? See where to get it by hand."
                    ) from error
            except (ValueError, UnicodeError) as error:  # what urllib makes of an address or a header that is none
                raise DataError(
                    f"{remote.url} cannot be downloaded: the server answered nonsense ({error}). Get the file by hand."
                ) from error
            failures = 0 if _size(part) > most else failures + 1
            most = max(most, _size(part))
            time.sleep(patience.pause if failures else 0)
        else:
            raise DataError(
                f"{remote.url} could not be downloaded: {last}; {_size(part)} of {remote.size or 'an unknown number of'} bytes have come. "
                "Repeat the command to go on from there."
            )
        try:
            _check(part, remote, f"{remote.url} sent another file than the one expected")
        except DataError:
            part.unlink()
            raise
        part.replace(path)
    return path


@contextmanager
def alone(part: Path) -> Iterator[None]:
    """Hold a file or folder that is being downloaded, so that two processes do not write into it.

    Raises:
        UsageError: another process holds it.
    """
    busy = f"{part.parent} is being downloaded into by another process; wait for it, or stop it."
    with held(part.with_suffix(".lock"), busy):
        yield


def _fetch(opener: urllib.request.OpenerDirector, remote: Remote, part: Path, timeout: float, bar: Bar) -> bool:
    """Bring what is still missing, and return whether that is now all.

    Raises:
        DataError: more comes than there should be.
        HTTPError: the server says that there is none.
        HTTPException: the server goes on from another place than ours.
    """
    have = _size(part)
    if remote.size is not None and have == remote.size:
        return True
    request = urllib.request.Request(remote.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing comes after our part: it is whole, or of another file
            if _digest(part, remote) == remote.digest:
                return True
            part.unlink()
        raise
    with answer:
        start, total = _extent(answer)
        if start not in (0, have):
            part.unlink()
            raise http.client.HTTPException(f"the server goes on from byte {start}, not from {have}")
        have = start  # 0 from a server that does not know how to go on: it sends everything again
        known = remote.size if remote.size is not None else total
        most = _MOST if known is None else known
        bar.total, bar.n = known, have
        with part.open("r+b" if have else "wb") as file:
            file.seek(have)
            while block := answer.read1(_PART):
                # what has come so far; a plain read would lose it when the server stalls
                have += len(block)
                if have > most:
                    file.close()
                    part.unlink()
                    raise DataError(
                        f"{remote.url} sends more than the {most} bytes expected; it is not the file that was meant."
                    )
                file.write(block)
                bar.update(len(block))
    return have == known if known is not None else True


def _extent(answer: IO[bytes]) -> tuple[int, int | None]:
    """Return where an answer begins in the file, and how long the file is."""
    headers = answer.headers  # type: ignore[attr-defined]
    if found := _RANGE.fullmatch(headers.get("Content-Range") or ""):
        return int(found["start"]), None if found["size"] == "*" else int(found["size"])
    length = headers.get("Content-Length") or ""
    return 0, int(length) if _LENGTH.fullmatch(length) else None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows only to addresses that may be used."""

    def __init__(self, schemes: Collection[str]) -> None:
        self._schemes = schemes

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Check the new address, and keep the range that was asked for.

        Raises:
            DataError: it may not be used.
        """
        _check_scheme(urljoin(req.full_url, newurl), req.full_url, self._schemes)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_scheme(url: str, asked: str, schemes: Collection[str]) -> None:
    if urlsplit(url).scheme not in schemes:
        led = f"{asked} leads to {url}" if url != asked else url
        raise DataError(
            f"{led}, which is not {' or '.join(schemes)}; a file that comes over an open line can be exchanged on the way."
        )


def _check(path: Path, remote: Remote, told: str) -> None:
    if (found := _digest(path, remote)) != remote.digest:
        raise DataError(
            f"{told}: its digest is {found}, expected was {remote.digest}. Move it away, or get the file by hand."
        )


def _digest(path: Path, remote: Remote) -> str:
    """Return a file's digest, of the kind that is known of the one to download."""
    kind = remote.digest.partition(":")[0]
    found = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return f"{kind}:{found.hexdigest()}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _told(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    reason = getattr(error, "reason", error)
    return "the server stopped answering" if isinstance(reason, TimeoutError) else str(reason) or type(reason).__name__
