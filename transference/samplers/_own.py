"""Tasks by the name that a command is given: those of a mode, or of a sampler of one's own, ``module:sampler``."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import torch

from transference import _trees
from transference.datasets import SPLITS, as_seen, dataset_names, paired_names
from transference.devices import restored
from transference.errors import DataError, TransferenceError, UsageError
from transference.learners import told
from transference.samplers._opening import open_tasks
from transference.samplers._protocol import TaskSampler, episode_of, task_record
from transference.samplers.functions import FAMILIES

_OWN = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<attribute>[^\W\d]\w*(?:\.[^\W\d]\w*)*)")


def load_tasks(
    text: str,
    *,
    n: int = 1,
    data_root: str | Path | None = None,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    seed: int = 0,
    side: int = 28,
    channels: int = 3,
    device: torch.device | str = "cpu",
) -> TaskSampler:
    """Return the tasks of a mode, as `open_tasks` does, or of a sampler of one's own.

    A mode that there is comes first; where a module of its name has a member of the split's name too, nothing is
    guessed. A sampler is looked at before it is measured with: its first task twice, and the last of those that are
    wanted.

    Args:
        text: ``"NAME:SPLIT"``, or ``"module:sampler"``: an object with ``name`` and ``[index]``, or what makes one,
            called with those of the settings below that its signature names.
        n: tasks that are wanted.
        data_root: the folder with datasets.
        ways: classes per task.
        shots: support examples, per class where there are classes.
        queries: query examples, likewise.
        seed: one family of tasks per seed.
        side: pixels along each edge of an image.
        channels: 1 or 3.
        device: where episodes are wanted; those of a sampler of one's own are moved there by whoever measures.

    Raises:
        UsageError: the text names a mode and a sampler, or neither can be called so.
        DataError: there is nothing of that name, or it gives no tasks, or not the same ones when it is asked again.
    """
    offers: dict[str, Any] = {
        "ways": ways, "shots": shots, "queries": queries, "seed": seed, "side": side, "channels": channels,
        "device": device,
    }  # fmt: skip
    match = _OWN.fullmatch(text)
    found = _module(match["module"]) if match else None
    if match is None or _is_mode(match["module"], data_root):
        if match and found and match["attribute"].partition(".")[0] in _defined(found):
            raise UsageError(
                f"{text} names both the mode {match['module']} and {match['attribute']} of the module "
                f"{found.origin}; rename one of them."
            )
        return open_tasks(text, data_root=data_root, **offers)
    if found is None:
        return _mode_alone(text, match["module"], data_root, offers)
    sampler = _made(_attribute(text, match["module"], match["attribute"], found), text, offers)
    _check(sampler, text, n)
    return sampler


def is_own(text: str, data_root: str | Path | None = None) -> bool:
    """Return whether a text names no mode, but could name a sampler in a module that is there."""
    match = _OWN.fullmatch(text)
    return match is not None and not _is_mode(match["module"], data_root) and _module(match["module"]) is not None


def mode_of(sampler: TaskSampler) -> str:
    """Return what the tables call the mode of a sampler's tasks: what it calls it itself, else its name."""
    return task_record(sampler, 0).mode


def _is_mode(name: str, data_root: str | Path | None) -> bool:
    root = data_root if data_root is not None and Path(data_root).is_dir() else None
    return as_seen(name) in {*FAMILIES, *dataset_names(root), *paired_names(root)}


def _mode_alone(text: str, name: str, data_root: str | Path | None, offers: Mapping[str, Any]) -> TaskSampler:
    """Return the tasks of a mode that there seems not to be, and of which there is no module either.

    Raises:
        DataError: there is none, and the text may have meant a module.
    """
    try:
        return open_tasks(text, data_root=data_root, **offers)
    except DataError as error:
        if text.rpartition(":")[2] in SPLITS:
            raise
        raise DataError(
            f"{error} Nor is there a module {name!r} to take a sampler from: is its file in the current folder, or "
            "installed?"
        ) from error


def _module(name: str) -> ModuleSpec | None:
    """Return where a module of that name would be imported from; a folder of images is no module.

    Raises:
        DataError: the package around it cannot be imported.
    """
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # of a package that is not there, or of the program itself
        return None
    except (Exception, SystemExit) as error:  # the package around it is imported to look inside
        raise DataError(
            f"The module {name!r} cannot be looked for: {told(error)}. Mend the file, and repeat it."
        ) from error
    return None if spec is None or spec.origin is None else spec


def _defined(spec: ModuleSpec) -> set[str]:
    """Return the names that a module's file evidently defines, without importing it: it may be anybody's script."""
    if spec.origin is None or not spec.origin.endswith(".py"):
        return set()
    try:
        body = ast.parse(Path(spec.origin).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return set()
    return {name for statement in body for name in _names_of(statement)}


def _names_of(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in statement.names)
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))


def _attribute(text: str, module: str, attribute: str, spec: ModuleSpec) -> object:
    """Return what ``module:attribute`` is.

    Raises:
        DataError: the module cannot be imported, or has no such attribute.
    """
    try:
        with restored():  # what the file sets for its own purposes has no say in ours
            found: object = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise DataError(
            f"The tasks {text!r} cannot be imported: {told(error)}. Mend the file, and repeat it."
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [name for name in vars(found) if not name.startswith("_")] if hasattr(found, "__dict__") else []
            close = difflib.get_close_matches(part, public, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise DataError(
                f"There is no mode {module!r}, and the module of that name ({spec.origin}) has no {part!r} for "
                f"{text!r}.{hint}"
            )
        found = getattr(found, part)
    return found


def _made(found: object, text: str, offers: Mapping[str, Any]) -> TaskSampler:
    """Return a sampler: what was found, or what it makes.

    Raises:
        DataError: it is none and makes none.
    """
    made = found
    if inspect.isclass(found) or not isinstance(found, TaskSampler):
        if not callable(found):
            raise DataError(f"{text} is {_kind(found)}; a sampler has a name and answers [index] with an episode.")
        with restored():
            made = _called(found, text, offers)
    if not isinstance(made, TaskSampler) or inspect.isclass(made):
        raise DataError(f"{text} gave {_kind(made)}; a sampler has a name and answers [index] with an episode.")
    if not isinstance(made.name, str) or not made.name:
        raise DataError(
            f"The name of {text} is {made.name!r:.80}; it must be a text that tells its tasks from all others."
        )
    return made


def _called(factory: Any, text: str, offers: Mapping[str, Any]) -> object:  # noqa: ANN401 - a stranger's
    asked: tuple[inspect.Parameter, ...]
    try:
        asked = tuple(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):  # of something built in
        asked = ()
    named = {p.name for p in asked if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    needed = [
        p.name
        for p in asked
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name not in offers
    ]
    if needed:
        raise DataError(
            f"{text} asks for {', '.join(needed)}, which no command offers; there are: {', '.join(offers)}. Give it "
            "a default."
        )
    try:
        made: object = factory(**{name: value for name, value in offers.items() if name in named})
    except TransferenceError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(f"{text} made no sampler: {told(error)}.") from error
    return made


def _kind(found: object) -> str:
    return f"the class {found.__name__}" if inspect.isclass(found) else f"a {type(found).__name__}"


def _check(sampler: TaskSampler, text: str, n: int) -> None:
    """Draw the first task, the last, and the first again.

    Raises:
        DataError: one cannot be drawn, or the first is another the second time.
    """
    first, _, again = (_trees.digest(episode_of(sampler, index).items()) for index in (0, n - 1, 0))
    if first != again:
        raise DataError(
            f"Task 0 of {text} is another one when it is drawn again. An episode is a function of the index alone: "
            "draw with a generator made in [index], torch.Generator().manual_seed(index), and keep nothing between "
            "calls."
        )
