"""Outer optimizers as files have them: in our own header, and as ``torch.optim`` writes its ``state_dict``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from transference.episodes import Params
from transference.optimizers import DEFAULTS, SLOTS, OptimizerState
from transference.plain import as_list, as_number, as_record, as_text, as_whole

_MOST_UPDATES = 2**53
"""Whatever writes JSON keeps whole numbers as far as this."""

_KEYS = (
    "optimizer_state_dict",
    "optimizer_states",
    "optimizer",
    "optimizer_state",
    "optim",
    "opt",
    "outer_optimizer",
    "meta_optimizer",
)
"""Where programs put an optimizer's state beside the model's; Lightning has a list of them."""

_PLAIN = {"betas", "eps"}
"""Settings of Adam that files of version 0.1 have; with no others the header stays as it was, and a checkpoint keeps its digest."""


_WRITTEN = ("kind", "lr", "settings", "betas", "eps", "steps", "order", "unusable")


def to_header(state: OptimizerState | None) -> dict[str, Any] | None:
    """Return an optimizer without its tensors as plain JSON values."""
    if state is None:
        return None
    steps = dict(sorted(state.steps.items()))
    usual = {
        name: value for name, value in state.settings.items() if name in _PLAIN or value != DEFAULTS[state.kind][name]
    }
    if state.kind == "adam" and usual.keys() <= _PLAIN:
        return {"lr": state.lr, "betas": list(state.setting("betas")), "eps": state.setting("eps"), "steps": steps}
    settings = {
        name: list(value) if isinstance(value, tuple) else value for name, value in sorted(state.settings.items())
    }
    return {"kind": state.kind, "lr": state.lr, "settings": settings, "steps": steps}


def to_file(state: OptimizerState | None) -> dict[str, Any] | None:
    """Return `to_header`, and beside it whether parameters are numbered, or why no step can be taken.

    It stands apart because a digest is made of `to_header`, and is the same whichever container a checkpoint comes
    from.
    """
    header = to_header(state)
    if state is None or header is None:
        return None
    told = {"order": state.order, "unusable": state.unusable}
    return header | {name: value for name, value in told.items() if value is not None}


def from_header(header: object, slots: Mapping[str, Params], params: Params) -> OptimizerState:
    """Return the optimizer that `to_file` wrote.

    Args:
        header: what was read.
        slots: tensors by slot and parameter name.
        params: θ, whose shapes the slots must have.

    Raises:
        ValueError: something is missing, not known, or of a kind, range or shape that it cannot have; the message names it.
    """
    found = as_record(header, "optimizer", ("lr", "steps"), _WRITTEN)
    kind = as_text(found.get("kind", "adam"), "optimizer.kind")
    if kind not in DEFAULTS:
        raise ValueError(f"the optimizer is {kind!r}, which this version does not know")
    told = (
        as_record(found["settings"], "optimizer.settings")
        if "kind" in found
        else {name: found[name] for name in sorted(_PLAIN)}
    )
    steps = {
        name: as_whole(n, f"optimizer.steps of {name}", 0, _MOST_UPDATES)
        for name, n in as_record(found["steps"], "optimizer.steps").items()
    }
    order = as_whole(found["order"], "optimizer.order", 0, _MOST_UPDATES) if "order" in found else None
    unusable = as_text(found["unusable"], "optimizer.unusable") if "unusable" in found else None
    for slot, tree in slots.items():
        if slot not in SLOTS[kind]:
            raise ValueError(f"the optimizer keeps {slot}, which {kind} has not")
        for name, value in tree.items():
            if order is not None and not (name.isascii() and name.isdigit() and int(name) < order):
                raise ValueError(f"{slot} is kept of {name}, which is none of {order} numbers")
            if order is None and not unusable and (name not in params or params[name].shape != value.shape):
                raise ValueError(f"{slot} of {name} has the shape {tuple(value.shape)}, which the parameter has not")
    lr = as_number(found["lr"], "optimizer.lr", 0)
    return OptimizerState(kind, lr, _settings(kind, told), dict(slots), steps, order, unusable)


def of_torch(content: Mapping[str, Any], alike: Sequence[str] = ()) -> OptimizerState | None:
    """Return the optimizer that a file holds beside a model, as ``torch.optim`` writes it; None if there is none.

    It numbers the parameters in the order of the model's, unless it was made with names. What cannot be used says why.

    Args:
        content: of the file.
        alike: keys of other models in the file that it could as well be of.
    """
    if (key := _key(content)) is None:
        return None
    found = content[key]
    if alike:
        why = f"its file holds an optimizer under {key}, and does not say whether it is of this model or of {alike[0]}"
        return OptimizerState("sgd", 0.0, unusable=why)
    states = [found] if is_optimizer(found) else list(found)
    if len(states) != 1:
        return OptimizerState(
            "sgd",
            0.0,
            unusable=f"its file holds {len(states)} optimizers under {key}, and none says which is the outer one",
        )
    try:
        return _of_torch(states[0])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return OptimizerState("sgd", 0.0, unusable=f"the optimizer under {key} of its file cannot be read ({error})")


def unread_optimizers(content: Mapping[str, Any], read: OptimizerState | None) -> tuple[str, ...]:
    """Return the keys of a file under which there are optimizers that are not read: others than the one that is, or that cannot be used."""
    own = _key(content) if read and not read.unusable else None
    return tuple(
        str(key) for key, value in content.items() if key != own and (is_optimizer(value) or _are_states(value))
    )


def _key(content: Mapping[str, Any]) -> str | None:
    """Return where a file holds the optimizer that is looked at."""
    return next((key for key in _KEYS if is_optimizer(content.get(key)) or _are_states(content.get(key))), None)


def _of_torch(content: Mapping[str, Any]) -> OptimizerState:
    groups = [
        as_record(group, "a parameter group", ("params", "lr"))
        for group in as_list(content["param_groups"], "param_groups", least=1)
    ]
    settings = [
        {name: value for name, value in group.items() if name not in ("params", "param_names")} for group in groups
    ]
    if any(one != settings[0] for one in settings[1:]):
        raise ValueError("its parameter groups differ in their settings")
    kind, numbers = _kind(settings[0]), [number for group in groups for number in group["params"]]
    names = [name for group in groups for name in group.get("param_names", ())]
    called = dict(zip(numbers, names if len(names) == len(numbers) else map(str, range(len(numbers))), strict=True))
    kept = {called[number]: entry for number, entry in content["state"].items() if entry}
    slots = {
        slot: {name: entry[slot] for name, entry in kept.items() if isinstance(entry.get(slot), Tensor)}
        for slot in SLOTS[kind]
    }
    steps = {name: int(entry["step"]) for name, entry in kept.items() if "step" in entry}
    told = {name: value for name, value in settings[0].items() if name in DEFAULTS[kind]}
    lr = as_number(_plain(settings[0]["lr"]), "lr", 0)
    return OptimizerState(kind, lr, _settings(kind, told), slots, steps, order=None if names else len(numbers))


def _kind(group: Mapping[str, Any]) -> str:
    """Return which optimizer has these settings: torch's files do not say.

    Raises:
        ValueError: none that is known here, or it could be either of two.
    """
    if {"momentum", "dampening", "nesterov"} <= group.keys():
        return "sgd"
    if not {"betas", "eps", "amsgrad"} <= group.keys() or "momentum_decay" in group:
        raise ValueError(f"it is neither SGD, Adam nor AdamW; its settings are {', '.join(map(str, group))}")
    if "decoupled_weight_decay" not in group and group.get("weight_decay"):
        raise ValueError(
            f"with a weight decay of {group['weight_decay']} it may be Adam or AdamW, which its file does not say"
        )
    return "adamw" if group.get("decoupled_weight_decay") else "adam"


def _settings(kind: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that are of the right kind.

    Raises:
        ValueError: one is not, or is not known.
    """
    as_record(told, "optimizer.settings", known=DEFAULTS[kind])
    found: dict[str, Any] = {}
    for name, value in told.items():
        usual = DEFAULTS[kind][name]
        if isinstance(usual, bool):
            found[name] = bool(value)
        elif isinstance(usual, tuple):
            found[name] = tuple(
                as_number(_plain(one), f"optimizer.{name}", 0, 1)
                for one in as_list(value, f"optimizer.{name}", least=2, most=2)
            )
        else:
            found[name] = as_number(_plain(value), f"optimizer.{name}", 0)
    return found


def _plain(value: object) -> object:
    """Return a setting as a number where torch has it as a tensor, as ``capturable`` optimizers do."""
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


def is_optimizer(found: object) -> bool:
    """Return whether a value is what ``torch.optim`` writes as its ``state_dict``."""
    return isinstance(found, Mapping) and {"state", "param_groups"} <= found.keys()


def _are_states(found: object) -> bool:
    return (
        isinstance(found, Sequence) and not isinstance(found, str) and len(found) > 0 and all(map(is_optimizer, found))
    )
