"""A meta-learner at one moment of its training: parameters, outer-optimizer state, step, and what learner it is.

Two containers hold the same content: ``.safetensors``, and ``.pt`` read with ``weights_only=True``. Nothing in a file is ever executed
unless ``unsafe=True`` says so, which is recorded. A plain ``state_dict`` in either container is read as well; it brings no learner, and
its step is inferred (`transference.checkpoints.steps`). Files of other programs are read where an installed package knows their layout
(entry points in ``transference.layouts``).
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import entry_points
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from transference import _trees
from transference.addresses import refuse_address
from transference.checkpoints import _names, _tensors
from transference.checkpoints._containers import as_state_dicts, find_state_dict
from transference.checkpoints._memory import overlapping, same_memory
from transference.checkpoints._optimizers import from_header, of_torch, to_file, to_header, unread_optimizers
from transference.checkpoints.steps import step_of
from transference.devices import as_allocated
from transference.episodes import Params
from transference.errors import CheckpointError
from transference.files import write_aside
from transference.optimizers import OptimizerState
from transference.plain import as_list, as_record, as_text, as_whole, read_json

Layout: TypeAlias = Callable[[Mapping[str, Any], Path], "Checkpoint | None"]
"""Reads what a file held, if it knows how; raises `CheckpointError` where a file is nearly but not quite what it knows."""

_LAYOUTS = "transference.layouts"
_FORMAT = "transference-checkpoint/1"
_PARAMS, _MOMENTS = "params/", "optimizer/"

_NUMPY_NUMBER = r"numpy\.\w+\.multiarray\.scalar"

_MOST_UPDATES = 2**53
"""Whatever writes JSON keeps whole numbers as far as this."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        params: tensors by name; one tensor under two names where weights are tied. From a plain ``state_dict`` this
            includes the buffers, which are told apart when a learner is bound to it.
        step: outer updates so far.
        learner: name of the learner, or None when the file does not say.
        config: the learner's settings, plain JSON values.
        optimizer: state of the outer optimizer, or None.
        training: how it was trained, plain JSON values, for the reader's information.
        path: where it was read from.
        unsafe: whether it, or the file it was converted from, was read with code execution allowed.
        frozen: names of which the file says that they require no gradient; None where it says nothing of
            gradients, as a ``state_dict`` does.
        step_from: where the step was inferred from, as words; None where the file is ours and has it.
        overlaps: pairs of names whose tensors shared numbers in the file without being one, as a transposed view does; here
            each has its own.
        unread: keys of the file under which there are tensors that were not read, such as an averaged copy beside the model,
            or an optimizer that no step can be taken with.
        key: of the file, under which the tensors are; None where that is a usual one, or there is no choice.
        stripped: what was taken off the beginning of all names.
        ignored: names of tensors that were left out, as the file has them.
    """

    params: Params
    step: int
    learner: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    optimizer: OptimizerState | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    unsafe: bool = False
    frozen: frozenset[str] | None = None
    step_from: str | None = None
    unread: tuple[str, ...] = ()
    overlaps: tuple[tuple[str, str], ...] = ()
    key: str | None = None
    stripped: str = ""
    ignored: tuple[str, ...] = ()

    def without_prefix(self, prefix: str) -> Checkpoint:
        """Return the checkpoint with ``prefix`` taken off all names, those in its optimizer's state too.

        Raises:
            CheckpointError: some name does not begin with it.
        """
        return _names.without_prefix(self, prefix)

    def ignoring(self, *patterns: str) -> Checkpoint:
        """Return the checkpoint without the tensors whose names match a pattern, as in a shell.

        The optimizer's state follows; where it numbers parameters and cannot be told which, no step is taken with it.

        Raises:
            CheckpointError: a pattern matches no name, or nothing is left.
        """
        return _names.ignoring(self, patterns)

    @cached_property
    def digest(self) -> str:
        """Of all tensors, shared ones once, the step, the learner and its settings; the same for both containers."""
        words = json.dumps([self.step, self.learner, dict(self.config), to_header(self.optimizer)], sort_keys=True)
        header = torch.frombuffer(bytearray(words.encode()), dtype=torch.uint8)
        return _trees.digest([("header", header), *sorted(_by_name(self).items())])


def save_checkpoint(checkpoint: Checkpoint, path: str | Path) -> None:
    """Write a checkpoint, aside first and renamed when complete, so that no half file is ever seen under ``path``.

    Args:
        checkpoint: what to write.
        path: ends in ``.safetensors`` or ``.pt``.

    Raises:
        CheckpointError: the file name has another ending.
    """
    path = Path(path)
    writers = {".safetensors": _write_safetensors, ".pt": _write_pickle}
    if path.suffix not in writers:
        raise CheckpointError(f"{path} was asked for; a checkpoint's name ends in .safetensors or .pt.")
    # Two names may share one tensor (tied weights), which safetensors refuses: it is written once.
    tied = same_memory(checkpoint.params)
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in _by_name(checkpoint).items()}
    told: dict[str, Any] = {"tied": tied} if tied else {}
    told |= {} if checkpoint.frozen is None else {"frozen": sorted(checkpoint.frozen)}
    overlaps = dict.fromkeys((*checkpoint.overlaps, *overlapping(checkpoint.params)))
    told |= {"overlaps": [list(pair) for pair in overlaps]} if overlaps else {}
    if checkpoint.optimizer is not None and checkpoint.optimizer.order is not None:
        told["names"] = list(checkpoint.params)  # the optimizer's numbers follow them, and safetensors keeps no order
    header = {
        "format": _FORMAT,
        "step": checkpoint.step,
        "learner": checkpoint.learner,
        "config": dict(checkpoint.config),
        "optimizer": to_file(checkpoint.optimizer),
        "training": dict(checkpoint.training),
        "unsafe": checkpoint.unsafe,
        **told,
    }
    text = json.dumps({**header, "digest": _digest_of_file(header, tensors)})
    write_aside(path, lambda aside: writers[path.suffix](aside, text, tensors))


def _digest_of_file(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return a digest of all that a file holds, by which damage is found: safetensors has no checksums."""
    plain = json.loads(json.dumps({name: value for name, value in header.items() if name != "digest"}))
    words = torch.frombuffer(bytearray(json.dumps(plain, sort_keys=True).encode()), dtype=torch.uint8)
    return _trees.digest([("header", words), *sorted(tensors.items())])


def _write_safetensors(path: Path, header: str, tensors: Params) -> None:
    path.write_bytes(safetensors.torch.save(tensors, metadata={"transference": header}))


def _write_pickle(path: Path, header: str, tensors: Params) -> None:
    content = BytesIO()  # torch's own writer says of a full disk nothing that could be understood
    torch.save({"transference": header, "tensors": tensors}, content)
    path.write_bytes(content.getbuffer())


def load_checkpoint(
    path: str | Path,
    *,
    unsafe: bool = False,
    plain: bool = False,
    key: str | None = None,
    strip_prefix: str | None = None,
    ignore: Sequence[str] = (),
) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: a ``.safetensors`` file, or any name for a file written by ``torch.save``.
        unsafe: allow a pickle to run code. Only for files whose author you trust; recorded in every run that uses it.
        plain: take a file without our header for a plain ``state_dict``, even where another layout is recognised.
        key: under which key of the file the ``state_dict`` is, nested ones with dots between; by default a usual one,
            or the only one.
        strip_prefix: what is taken off the beginning of all names, such as ``"module."``.
        ignore: patterns, as in a shell, of names that are left out, such as ``"fc.*"``.

    Returns:
        The checkpoint, its tensors in host memory and laid out as fresh ones are, whichever container they come from.

    Raises:
        CheckpointError: the file is missing, truncated, wants to run code, holds no parameters or several models, or
            is of a known layout but incomplete; a pattern or prefix does not fit its names.
        UsageError: an address was given, and nothing is downloaded.
    """
    path = Path(path)
    if not path.is_file():
        refuse_address(path)
        raise CheckpointError(f"There is no checkpoint file {path}.")
    found = _read(path, unsafe, plain, key)
    fresh = {name: as_allocated(value) for name, value in found.params.items()}
    tied = {name: fresh[first] for name, first in same_memory(found.params).items()}
    found = replace(found, params=fresh | tied, overlaps=(*found.overlaps, *overlapping(found.params)))
    if ignore:
        found = _names.ignoring(found, ignore, strip_prefix or "")
    return found if strip_prefix is None else found.without_prefix(strip_prefix)


def _read(path: Path, unsafe: bool, plain: bool, key: str | None) -> Checkpoint:
    header, content, beside = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path, unsafe)
    if wrong := _tensors.complaint(content, path.stat().st_size):
        raise CheckpointError(f"{path} cannot be measured: {wrong}. Save its parameters as plain tensors.")
    if header is None and any(name.startswith(_PARAMS) for name in content if isinstance(name, str)):
        raise CheckpointError(f"{path} has lost its header. Copy or save it again.")
    if header is None:
        layouts = () if plain or key is not None else entry_points(group=_LAYOUTS)
        for layout in layouts:
            recognise: Layout = layout.load()
            if (found := recognise(content, path)) is not None:
                return replace(found, path=path, unsafe=unsafe)
        return replace(_of_others(content, beside, path, key), unsafe=unsafe)
    if key is not None:
        raise CheckpointError(
            f"{path} is a checkpoint of transference, which holds one model and no keys. Leave --key out."
        )
    try:
        loaded = _from_header(as_record(read_json(header), "the header"), content, path)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} has a damaged header ({error!r}). Copy or save it again.") from error
    return replace(loaded, path=path, unsafe=unsafe or loaded.unsafe)


def _of_others(content: Mapping[str, Any], beside: Mapping[str, Any], path: Path, key: str | None) -> Checkpoint:
    """Return what a file of another program holds."""
    found, counted = find_state_dict(content, path, key), step_of(beside, path)
    optimizer = of_torch(content, found.alike)
    return Checkpoint(
        {name: value.detach() for name, value in found.params.items()},
        step=counted.step,
        path=path,
        optimizer=optimizer,
        frozen=frozen_names(found.params),
        step_from=counted.origin,
        unread=(*found.unread, *unread_optimizers(content, optimizer)),
        key=found.key,
    )


def frozen_names(tensors: Params) -> frozenset[str] | None:
    """Return the names of tensors that require no gradient among others that do: of parameters as they were pickled."""
    if not any(value.requires_grad for value in tensors.values()):
        return None
    return frozenset(name for name, value in tensors.items() if not value.requires_grad)


def _read_safetensors(path: Path) -> tuple[str | None, dict[str, Any], Mapping[str, Any]]:
    """Return our header, the tensors, and what the file says beside them.

    Raises:
        CheckpointError: the file is truncated, or no safetensors file.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict, it has no iterator
    except (
        OSError,
        AttributeError,
        KeyError,
        safetensors.SafetensorError,
    ) as error:  # the middle two where torch lacks a dtype
        if not isinstance(error, OSError) and re.search("dtype|unknown variant|float[48]", str(error), re.IGNORECASE):
            kind = "holds tensors of a type that cannot be read"
            raise CheckpointError(f"{path} {kind} ({error!s:.120}). Save its parameters as float32.") from error
        raise CheckpointError(f"{path} is truncated or is no safetensors file ({error}). Copy it again.") from error
    # safetensors' save_model leaves out the second name of a shared tensor, and says so.
    tensors |= {name: tensors[first] for name, first in metadata.items() if first in tensors and name not in tensors}
    return metadata.get("transference"), tensors, metadata


def _read_pickle(path: Path, unsafe: bool) -> tuple[str | None, dict[str, Any], Mapping[str, Any]]:
    """Return our header, the content, and what the file says beside the tensors.

    Raises:
        CheckpointError: the file is truncated, wants to run code, or holds no dictionary.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of foreign pickles before it refuses them; we say so once
            _tensors.check_packing(path)
            content = torch.load(path, map_location="cpu", weights_only=not unsafe)
    except pickle.UnpicklingError as error:
        what = _refused_name(str(error))
        if what is None:
            raise CheckpointError(f"{path} {_damaged(error)}") from error
        raise CheckpointError(
            f"{path} holds more than tensors: it wants to use {what}. Nothing of it was executed. In the program "
            "that wrote it, save torch.save(model.state_dict(), …) alone, or run transference convert --unsafe-load "
            f"{path.name} "
            "NEW.safetensors beside its code; or, if you trust whoever made it, repeat with --unsafe-load "
            "(unsafe=True)."
        ) from error
    except (ImportError, AttributeError) as error:
        if not unsafe:
            raise CheckpointError(f"{path} {_damaged(error)}") from error
        raise CheckpointError(
            f"{path} holds objects whose code is not here ({_first_line(error)}). Repeat it in the folder of the "
            "program that wrote it, or save torch.save(model.state_dict(), …) there."
        ) from error
    except Exception as error:  # a damaged pickle can fail anywhere inside torch's reader
        raise CheckpointError(f"{path} {_damaged(error)}") from error
    if unsafe:  # or there would be no modules
        content = as_state_dicts(content)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; a dictionary of tensors was expected.")
    if isinstance(content.get("transference"), str):
        return content["transference"], content.get("tensors") or {}, {}
    return None, dict(content), content


def _refused_name(message: str) -> str | None:
    """Return the global that ``weights_only`` refused, as torch's message names it; None when the trouble is another one."""
    match = re.search(r"GLOBAL ([\w.]+)", message) or re.search(
        r"Unsupported (?:class|operand|global) ([\w.]+)", message
    )
    if match is None:
        return None
    if re.fullmatch(_NUMPY_NUMBER, match[1]):
        return f"a number of numpy's ({match[1]})"
    return f"pickle's operand {match[1]}, which torch.save does not write" if match[1].isdigit() else match[1]


def _damaged(error: Exception) -> str:
    return f"is truncated or is no checkpoint ({_first_line(error)}). Copy it again."


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _by_name(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return every tensor of the checkpoint under its name in a file; one that has several names, under the first."""
    tied = same_memory(checkpoint.params)
    tensors = {_PARAMS + name: value for name, value in checkpoint.params.items() if name not in tied}
    if checkpoint.optimizer is not None:
        for slot, tree in checkpoint.optimizer.slots.items():
            tensors |= {f"{_MOMENTS}{slot}/{name}": value for name, value in tree.items()}
    return tensors


def _from_header(header: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> Checkpoint:
    if header.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path} is of the format {header.get('format')!r}; this version reads {_FORMAT!r}. Upgrade transference."
        )

    def below(prefix: str) -> Params:
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    if not all(isinstance(tensor, Tensor) for tensor in as_record(tensors, "tensors").values()):
        raise ValueError("something that is no tensor is said to be one")
    if "digest" in header and header["digest"] != _digest_of_file(header, tensors):
        raise ValueError("its digest is not that of its content, so something was altered")
    needed = ("format", "step", "learner", "config", "optimizer", "training")
    as_record(header, "the header", needed, (*needed, "unsafe", "digest", "tied", "frozen", "overlaps", "names"))
    params = below(_PARAMS)
    if not params:
        raise ValueError("it has no parameters")
    params |= {
        other: params[as_text(first, "tied")] for other, first in as_record(header.get("tied", {}), "tied").items()
    }
    if (names := header.get("names")) is not None:
        order = [as_text(name, "names") for name in as_list(names, "names")]
        if sorted(order) != sorted(params):
            raise ValueError("names are not those of its parameters")
        params = {name: params[name] for name in order}
    optimizer = None
    if header["optimizer"] is not None:
        slots: dict[str, Params] = {}
        for place, value in below(_MOMENTS).items():
            slot, _, name = place.partition("/")
            slots.setdefault(slot, {})[name] = value
        optimizer = from_header(header["optimizer"], slots, params)
    frozen = header.get("frozen")
    overlaps = [as_list(pair, "overlaps", least=2, most=2) for pair in as_list(header.get("overlaps", []), "overlaps")]
    return Checkpoint(
        params,
        as_whole(header["step"], "step", 0, _MOST_UPDATES),
        None if header["learner"] is None else as_text(header["learner"], "learner"),
        as_record(header["config"], "config"),
        optimizer,
        as_record(header["training"], "training"),
        unsafe=bool(header.get("unsafe", False)),
        frozen=None if frozen is None else frozenset(as_text(name, "frozen") for name in as_list(frozen, "frozen")),
        overlaps=tuple((as_text(one, "overlaps"), as_text(other, "overlaps")) for one, other in overlaps),
    )
