"""Checkpoints as the released programs write them (MMAML-Classification, KML-Classification, MMAML-Regression).

A file is a dictionary of ``model_state_dict``, ``optimizers`` (a list of Adam states: of the backbone, and of the encoder where there is
one) and, where there is an encoder, ``embedding_model_state_dict``. It says neither what learner it is nor how it was trained: the kind
is told by the keys, and the settings by ``train_config.json`` beside it, which those programs write; where that is missing, the released
defaults are assumed and said to be. The number in the file name is kept as the step, though ``…_1000.pt`` of the classification programs
is saved before update 1000 and so holds 999.

Running statistics of batch norm are never used by those programs, and ProtoNet's linear head neither; they are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from transference import Checkpoint, OptimizerState, Params, load_learner
from transference.checkpoints import step_of
from transference.errors import CheckpointError
from transference.learners import ConfiguredLearner
from transference.plain import read_json
from transference.samplers import FAMILIES

_MODEL, _ENCODER = "model_state_dict", "embedding_model_state_dict"
_SIGNS = ("features.layer1_conv.weight", "layer1_linear.weight", "task0_layer1_linear.weight")
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_HEAD = "classifier.fully_connected"

_INNER_LOOP = {
    "fast_lr": ("inner_lr", float),
    "num_updates": ("inner_steps", int),
    "inner_loop_grad_clip": ("clamp", float),
}
_USUAL = {
    "use_max_pool": (False,),
    "condition_type": ("affine",),
    "condition_order": ("low2high",),
    "embedding_pooling": ("avg",),
    "oracle": (False,),
    "task_oracle": (False,),
}
"""Options that change what is computed without changing any key, with the values that our learners follow."""
_SIDES = {"omniglot": 28, "cifar": 32, "miniimagenet": 84}
"""Pixels of images where a program was trained on a single dataset."""
_MEND = "Mend it, or move it away to assume the defaults."
_KINDS = {
    # (affine batch norm, generators): learner. The released KML program has no head, and its own form; with a head, the paper's is meant.
    (False, 0): "maml",
    (False, 4): "mmaml",
    (False, 12): "kml-maml",
    (True, 0): "protonet",
    (True, 4): "mprotonet",
    (True, 12): "kml-protonet",
}


@dataclass(frozen=True)
class _Kind:
    """What the keys of a file tell.

    Attributes:
        learner: its registered name.
        from_shapes: settings that the shapes of the tensors say.
        assumed: settings that only train_config.json could tell, as the released program has them by default.
        episode: the shape of episodes, likewise.
        idle: beginnings of names that belong to the file but not to the learner.
    """

    learner: str
    from_shapes: Mapping[str, Any]
    assumed: Mapping[str, Any] = field(default_factory=dict)
    episode: Mapping[str, int] = field(default_factory=dict)
    idle: tuple[str, ...] = ()


def recognise(content: Mapping[str, Any], path: Path) -> Checkpoint | None:
    """Return the checkpoint if a released program wrote it, None if it is nothing like it.

    Args:
        content: of the file.
        path: of the file; its name tells the step, its folder may hold ``train_config.json``.

    Raises:
        CheckpointError: it is like a released checkpoint, but tensors are missing, unexpected or of another shape, or its optimizers or its
            ``train_config.json`` make no sense.
    """
    model, encoder = content.get(_MODEL), content.get(_ENCODER) or {}
    if not isinstance(model, Mapping) or not isinstance(encoder, Mapping):
        return None
    if not any(sign in model for sign in _SIGNS):
        if encoder:
            raise CheckpointError(
                f"{path} has an encoder, but its {_MODEL} has none of {', '.join(_SIGNS)}: it is no released checkpoint. "
                "If it is a checkpoint of your own learner, name that with --learner module:factory."
            )
        return None
    tensors = {_MODEL: _parameters(model, path), _ENCODER: _parameters(encoder, path)}
    kind = _kind(tensors[_MODEL], tensors[_ENCODER], path)
    settings, episode, training = _settings(kind, path)
    named = {
        new: value
        for part in tensors
        for old, tensor in tensors[part].items()
        for new, value in _renamed(part, old, tensor)
    }
    params = {name: value for name, value in named.items() if not name.startswith(kind.idle or "\0")}
    learner = load_learner(kind.learner, settings)
    if isinstance(learner, ConfiguredLearner):
        _check(params, learner.init_params(0), path, kind.learner)
    optimizer = _adam(content.get("optimizers") or [], tensors, params, path)
    found = step_of(content, path)
    training |= episode
    return Checkpoint(params, found.step, kind.learner, settings, optimizer, training, path, step_from=found.origin)


def _parameters(state: Mapping[str, Any], path: Path) -> Params:
    """Return the parameters of a state_dict, in its order, which is the optimizer's too.

    Raises:
        CheckpointError: an entry is no tensor.
    """
    wrong = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if wrong:
        raise CheckpointError(f"{path}: these entries should be tensors, but are not: {', '.join(wrong[:5])}.")
    return {str(name): value.detach() for name, value in state.items() if not str(name).endswith(_BUFFERS)}


def _kind(model: Params, encoder: Params, path: Path) -> _Kind:
    """Return what the keys tell.

    Raises:
        CheckpointError: they are those of no released program.
    """
    generators = len([name for name in encoder if re.fullmatch(r"_embeddings\.\d+\.weight", name)])
    if "features.layer1_conv.weight" not in model:
        return _regression(model, encoder, generators)
    affine = "features.layer1_bn.weight" in model
    learner = _KINDS.get((affine, generators))
    if learner is None or bool(encoder) != bool(generators):
        raise CheckpointError(
            f"{path} mixes layouts: a backbone {'with' if affine else 'without'} affine batch norm, and {generators} generators in its "
            "encoder. Released checkpoints have 0 (MAML, ProtoNet), 4 (FiLM) or 12 (KML)."
        )
    channels = int(model["features.layer1_conv.weight"].shape[1])
    headless = f"{_HEAD}.weight" not in model
    shown: dict[str, Any] = {"channels": channels}
    episode = {"shots": 1, "queries": 15, "side": 84 if channels == 3 else 28, "channels": channels}
    if not affine:
        ways = 5 if headless else int(model[f"{_HEAD}.weight"].shape[0])
        assumed = {"inner_lr": 0.05, "inner_steps": 5, "clamp": 20.0, "second_order": True}
        return _Kind(learner, {"ways": ways, **shown}, assumed, {"ways": ways, **episode})
    assumed = {"transductive": learner == "protonet" or (learner == "kml-protonet" and headless)}
    if learner == "kml-protonet" and headless:
        shown |= {"residual": False, "query_modulation": "query"}
    return _Kind(learner, shown, assumed, {"ways": 5, **episode}, idle=(_HEAD,))


def _regression(model: Params, encoder: Params, generators: int) -> _Kind:
    episode = {"shots": 5, "queries": 5}
    assumed = {"inner_lr": 0.001, "inner_steps": 5, "clamp": 10.0 if encoder else 0.0, "second_order": True}
    if encoder:
        return _Kind("regression-mmaml", {"generators": generators}, assumed, episode)
    if "layer1_linear.weight" in model:
        return _Kind("regression-maml", {}, assumed, episode)
    tasks = len([name for name in model if re.fullmatch(r"task\d+_layer1_linear\.weight", name)])
    return _Kind("regression-multi-maml", {"modes": list(FAMILIES)[:tasks], "adapt_bias": False}, assumed, episode)


def _settings(kind: _Kind, path: Path) -> tuple[dict[str, Any], dict[str, int], dict[str, Any]]:
    """Return the learner's settings, the shape of episodes, and what to tell of where they come from.

    Raises:
        CheckpointError: ``train_config.json`` asks for what our learners do not do, or contradicts the tensors.
    """
    config = _TrainConfig(path)
    config.refuse_others()
    found: dict[str, Any] = {
        ours: config.get(theirs, wanted)
        for theirs, (ours, wanted) in _INNER_LOOP.items()
        if theirs in config.options and ours in kind.assumed
    }
    if "first_order" in config.options and "second_order" in kind.assumed:
        found["second_order"] = not config.get("first_order", bool)
    if "transductive" in config.options and "transductive" in kind.assumed:
        found["transductive"] = config.get("transductive", bool)
    regression = kind.learner.startswith("regression")
    names = {"num_samples_per_class": "shots", "num_val_samples": "queries"}
    shape: dict[str, int] = {}
    if not regression:
        dataset = config.get("dataset", str) if "dataset" in config.options else "multimodal_few_shot"
        names |= {"num_classes_per_batch": "ways"}
        if dataset == "multimodal_few_shot":
            names |= {"common_img_side_len": "side", "common_img_channel": "channels"}
        elif dataset in _SIDES:
            shape["side"] = _SIDES[dataset]
    shape |= {ours: config.get(theirs, int) for theirs, ours in names.items() if theirs in config.options}
    if regression and "shots" in shape:
        # those programs count the samples of a function in all
        shape["shots"] -= shape.get("queries", kind.episode["queries"])
    for name, value in shape.items():
        if kind.from_shapes.get(name, value) != value:
            shown = kind.from_shapes[name]
            raise CheckpointError(f"{config.file} says {name} {value}, but the tensors of {path.name} say {shown}.")
    known = {**found, **shape, **kind.from_shapes}
    guessed = {name: value for name, value in {**kind.assumed, **kind.episode}.items() if name not in known}
    training: dict[str, Any] = {"layout": "released"}
    if guessed:
        told = ", ".join(f"{name} {value}" for name, value in guessed.items())
        training["note"] = (
            f"a checkpoint of the released code, read as {kind.learner}; no train_config.json tells these, so they are assumed: {told}"
        )
    return {**kind.from_shapes, **kind.assumed, **found}, {**kind.episode, **shape}, training


class _TrainConfig:
    """The options that the program was started with, none where they were not kept.

    Args:
        path: of the checkpoint that they stand beside.

    Raises:
        CheckpointError: the file is no JSON object.
    """

    def __init__(self, path: Path) -> None:
        self.file = path.parent / "train_config.json"
        self.options: dict[str, Any] = {}
        if self.file.exists():
            try:
                self.options = read_json(self.file.read_bytes())
            except ValueError as error:
                raise CheckpointError(f"{self.file}, beside {path.name}, is damaged ({error}). {_MEND}") from error
            if not isinstance(self.options, dict):
                raise CheckpointError(f"{self.file}, beside {path.name}, holds no settings by name. {_MEND}")

    def get(self, name: str, wanted: type) -> Any:  # noqa: ANN401 - a value of the wanted type
        """Return an option.

        Raises:
            CheckpointError: it is not of the wanted type.
        """
        value = self.options[name]
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise CheckpointError(f"{self.file} says {name} = {value!r}, which is no {wanted.__name__}. {_MEND}")
        return value

    def refuse_others(self) -> None:
        """Refuse options that change the network or its tasks in ways that our learners do not follow.

        Raises:
            CheckpointError: there is one.
        """
        for name, usual in _USUAL.items():
            value = self.options.get(name, usual[0])
            if value not in usual:
                raise CheckpointError(
                    f"{self.file} says {name} = {value!r}; only {' or '.join(map(repr, usual))} can be analysed."
                )


def _renamed(part: str, name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield a tensor of a file under our name; Multi-MAML's table of bias transformations falls apart into rows."""
    if part == _ENCODER:
        yield (
            (name.replace("_embeddings.", "generator.", 1) if name.startswith("_embeddings.") else f"encoder.{name}"),
            tensor,
        )
    elif task := re.match(r"task(\d+)_", name):
        yield f"{_mode(int(task[1]))}/{name[task.end() :]}", tensor
    elif name == "bias_transformation.weight":
        for k, row in enumerate(tensor):
            yield f"{_mode(k)}/bias_transformation", row
    else:
        yield name, tensor


def _mode(task: int) -> str:
    families = list(FAMILIES)
    return families[task] if task < len(families) else f"task{task}"


def _in_file(name: str) -> str:
    """Return what a released file calls our parameter."""
    if name.startswith("generator."):
        return f"{_ENCODER}: _embeddings.{name.removeprefix('generator.')}"
    return f"{_ENCODER}: {name.removeprefix('encoder.')}" if name.startswith("encoder.") else f"{_MODEL}: {name}"


def _check(found: Params, expected: Params, path: Path, learner: str) -> None:
    """Make sure that the file holds exactly the learner's parameters.

    Raises:
        CheckpointError: it does not.
    """
    problems = {
        "missing": [_in_file(name) for name in expected if name not in found],
        "unexpected": [_in_file(name) for name in found if name not in expected],
        "of another shape": [
            f"{_in_file(name)} {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
            for name in expected
            if name in found and found[name].shape != expected[name].shape
        ],
    }
    if any(problems.values()):
        told = "; ".join(f"{what}: {', '.join(names)}" for what, names in problems.items() if names)
        raise CheckpointError(
            f"{path} looks like a released checkpoint of {learner}, but is not quite one ({told}). "
            "If it is a checkpoint of your own learner, name that with --learner module:factory."
        )


def _adam(
    optimizers: Sequence[Any], tensors: Mapping[str, Params], params: Params, path: Path
) -> OptimizerState | None:
    """Return the moments by parameter name. The file has them by arbitrary ids, listed in the order of the parameters.

    Raises:
        CheckpointError: the lists do not fit the parameters.
    """
    if not optimizers:
        return None
    steps: dict[str, int] = {}
    moments: dict[str, Params] = {"exp_avg": {}, "exp_avg_sq": {}}
    groups = []
    try:
        for part, optimizer in zip((_MODEL, _ENCODER), optimizers, strict=False):
            (group,) = optimizer["param_groups"]
            groups.append((float(group["lr"]), tuple(group["betas"]), float(group["eps"])))
            for identity, (old, tensor) in zip(group["params"], tensors[part].items(), strict=True):
                state = optimizer["state"].get(identity)
                for kind in moments if state is not None else ():
                    if state[kind].shape != tensor.shape:
                        shapes = f"{tuple(state[kind].shape)}, the parameter {tuple(tensor.shape)}"
                        raise CheckpointError(
                            f"{path}: {kind} of {old} is {shapes}. Remove the key optimizers, and use sgd."
                        )
                    for new, value in _renamed(part, old, state[kind]):
                        if new in params:
                            moments[kind][new] = value
                            steps[new] = int(state["step"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: its optimizers do not fit its parameters ({error}). "
            "Without them (remove the key optimizers) the file can be used with sgd."
        ) from error
    if len(set(groups)) != 1:
        raise CheckpointError(
            f"{path}: its optimizers differ in their settings {groups}; one set is expected. Remove them, and use sgd."
        )
    (lr, betas, eps), *_ = groups
    return OptimizerState.adam(lr, (betas[0], betas[1]), eps, steps, moments["exp_avg"], moments["exp_avg_sq"])
