"""What run.json says beside the spec: for the reader, and for whoever resumes the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transference.errors import StoreError
from transference.plain import as_list, as_record, as_text, as_whole, read_json

FORMAT = "transference-run/3"
"""Of a folder whose files say of which spec and checkpoint they are, so that it may grow by checkpoints."""

_READ = (FORMAT, "transference-run/2")
"""In the second, of version 0.2, each file says of which run it is, all checkpoints together. Version 0.1 wrote no format, and nothing into
files."""

_TEXTS = ("folder", "python", "machine", "device", "format")
_MOST_THREADS = 4096


def read_about(path: Path) -> dict[str, Any]:
    """Return the content of a run.json, whose spec has yet to be looked at.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    if not path.is_file():
        raise StoreError(
            f"{path.parent} is no run folder: it has no run.json. Give the --out of a transference compute."
        )
    try:
        about = dict(as_record(read_json(path.read_bytes()), "the file", ["digest", "spec"]))
        as_text(about["digest"], "digest")
        _check(about)
    except ValueError as error:
        raise StoreError(
            f"{path} is damaged: {error}. Put the file that compute wrote back, or measure anew into another --out."
        ) from error
    if about.get("format", FORMAT) not in _READ:
        raise StoreError(
            f"{path} is of the format {about['format']!r}; this version reads {', '.join(map(repr, _READ))}. Upgrade transference."
        )
    return about


def _check(about: Mapping[str, Any]) -> None:
    """Make sure that what is there is of the kind that its readers expect.

    Raises:
        ValueError: it is not.
    """
    for name in _TEXTS:
        as_text(about.get(name, ""), name)
    for k, word in enumerate(as_list(about.get("command") or [], "command")):
        as_text(word, f"command[{k}]")
    for name, number in as_record(about.get("versions", {}), "versions").items():
        as_text(number, f"versions.{name}")
    as_whole(about.get("threads", 1), "threads", 1, _MOST_THREADS)
    as_record(about.get("trial") or {}, "trial")
    for k, checkpoint in enumerate(as_list(about.get("checkpoints", []), "checkpoints")):
        name = f"checkpoints[{k}]"
        as_record(checkpoint, name)
        as_text(checkpoint.get("learner") or "", f"{name}.learner")
        as_record(checkpoint.get("training", {}), f"{name}.training")
