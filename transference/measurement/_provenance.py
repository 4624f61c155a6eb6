"""Where a run comes from: what ``run.json`` tells beside the spec, and what a resumed run is held to."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from transference.checkpoints import Checkpoint
from transference.errors import SpecMismatchError
from transference.store import Store


def provenance(
    checkpoints: Sequence[Checkpoint], device: torch.device, command: Sequence[str] | None
) -> dict[str, Any]:
    """Return what a reader of run.json wants to know; a resumed run is held to the torch and the threads named here."""
    return {
        "command": list(command) if command else None,
        "folder": str(Path.cwd()),
        "checkpoints": [
            {
                "step": c.step,
                "step_from": c.step_from,
                "path": str(c.path),
                "learner": c.learner,
                "training": dict(c.training),
                "unsafe_load": c.unsafe,
                **_read_as(c),
            }
            for c in checkpoints
        ],
        "versions": {name: version(name) for name in ("transference", "torch", "numpy", "pyarrow", "pillow")},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }


def _read_as(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what was asked or found of how a file is to be read, where it is not read as it is."""
    told = {"key": checkpoint.key, "stripped": checkpoint.stripped, "ignored": list(checkpoint.ignored)}
    return {name: value for name, value in told.items() if value}


@contextmanager
def threads_of(store: Store, usual: int | None = None) -> Iterator[int]:
    """Compute with as many threads as the run was begun with: sums in another order change the last digits.

    Args:
        store: the run's.
        usual: of a run that is not begun; by default as many as torch has now.

    Yields:
        How many these are.
    """
    before = torch.get_num_threads()
    begun = store.about().get("threads") if store.begun else None
    threads = int(begun or usual or before)
    torch.set_num_threads(threads)
    try:
        yield threads
    finally:
        torch.set_num_threads(before)


def check_begun_alike(store: Store, first_sources: Mapping[int, Mapping[str, float]]) -> None:
    """Make sure that torch and the learner's code are those that the run was begun with, which its spec cannot see.

    Args:
        store: the run's.
        first_sources: loss and gradient norm of the first source, by checkpoint step, as they are now.

    Raises:
        SpecMismatchError: they differ from those in the folder by more than another machine would make them.
    """
    versions = store.about().get("versions", {})
    if versions.get("torch", version("torch")) != version("torch"):
        raise SpecMismatchError(
            f"{store.path} was begun with torch {versions['torch']}; this is {version('torch')}. Choose a new --out."
        )
    stored = {step: store.first_source(step) for step in first_sources}
    check_same_code({step: found for step, found in stored.items() if found}, first_sources, str(store.path))


def check_same_code(then: Mapping[int, Mapping[str, float]], now: Mapping[int, Mapping[str, float]], run: str) -> None:
    """Make sure that the learner's code gives the first source the numbers that it gave when a run was begun.

    Args:
        then: loss and gradient norm of the first source, by checkpoint step.
        now: the same.
        run: the folder, for messages.

    Raises:
        SpecMismatchError: they differ by more than another machine would make them.
    """
    for step, first in then.items():
        for name, found in now[step].items():
            was = first[name]
            if not (math.isclose(was, found, rel_tol=1e-3) or (math.isnan(was) and math.isnan(found))):
                raise SpecMismatchError(
                    f"{run} was begun with a learner whose {name.replace('_', ' ')} on the first source at step {step} was "
                    f"{was:.8g}; now it is {found:.8g}. Has its code changed? Choose a new --out."
                )
