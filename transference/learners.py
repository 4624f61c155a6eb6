"""What the analyzer asks of a learner, how one is found, and whether it keeps its word.

A learner is anything with ``episode_loss(params, episode)``, a pure function. Strangers' learners need not import this package.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from transference import _trees
from transference.checkpoints import Checkpoint
from transference.episodes import Episode, Params
from transference.errors import LearnerError

_GROUP = "transference.learners"


@runtime_checkable
class Learner(Protocol):
    """A meta-learner, as far as the measurement needs to know it."""

    def episode_loss(self, params: Params, episode: Episode) -> Tensor:
        """Return the query loss after adapting ``params`` on the support set, a scalar ``[]``.

        A pure function of its two arguments: no random numbers, nothing kept, nothing changed; buffers are constants inside it. It is
        called with gradients enabled and with parameters that may or may not require them; ``torch.func.grad`` serves both in an
        inner loop.
        """


@runtime_checkable
class ScoringLearner(Learner, Protocol):
    """Optional: a learner that also knows its accuracy. Both numbers come from one forward pass, which is why it is one method."""

    def episode_scores(self, params: Params, episode: Episode) -> tuple[Tensor, Tensor]:
        """Return ``episode_loss`` and the share of queries classified correctly, both ``[]``."""


@runtime_checkable
class ConfiguredLearner(Learner, Protocol):
    """Optional: a learner that can begin from nothing, and so knows which tensors a checkpoint of it must hold."""

    def init_params(self, seed: int) -> Params:
        """Return freshly initialised float32 parameters, the same for the same seed."""


@runtime_checkable
class BufferedLearner(Learner, Protocol):
    """Optional: a learner with buffers, tensors of a checkpoint that are no parameters and never move."""

    def split_buffers(self, tensors: Params) -> tuple[Params, Params]:
        """Return ``tensors`` split into parameters and buffers."""

    def with_buffers(self, buffers: Params) -> Learner:
        """Return the learner with these buffers as constants."""


class ModuleLearner:
    """Make a learner of a plain ``nn.Module`` and ``loss(module, episode)``.

    Args:
        module: its parameters name θ; its own values are never used nor changed. Buffers come from the checkpoint.
        loss: computes the query loss after adaptation, a scalar, with the module holding the parameters of the moment. It may take
            ``torch.autograd.grad`` with respect to ``module.parameters()`` for an inner loop.

    Example:
        >>> net = nn.Linear(2, 3)
        >>> learner = ModuleLearner(net, lambda module, e: nn.functional.cross_entropy(module(e.query_x), e.query_y))
        >>> episode = Episode(torch.zeros(3, 2), torch.arange(3), torch.zeros(3, 2), torch.arange(3))
        >>> learner.episode_loss({"weight": torch.zeros(3, 2), "bias": torch.zeros(3)}, episode)
        tensor(1.0986, grad_fn=<NllLossBackward0>)
    """

    def __init__(self, module: nn.Module, loss: Callable[[nn.Module, Episode], Tensor], buffers: Params | None = None) -> None:
        self._call = _Call(module, loss)
        self._loss = loss
        self._buffers = {name: b.detach().clone() for name, b in module.named_buffers()} if buffers is None else buffers

    def episode_loss(self, params: Params, episode: Episode) -> Tensor:
        """Return ``loss(module, episode)`` with ``params`` in the module, ``[]``."""
        # In-place updates of buffers (running statistics) fall on copies, and are thrown away with them.
        like = next(iter(params.values()))
        buffers = {name: b.to(like.device, like.dtype if b.is_floating_point() else None, copy=True) for name, b in self._buffers.items()}
        leaves = {name: p if p.requires_grad else p.detach().requires_grad_() for name, p in params.items()}
        state = {f"module.{name}": value for name, value in {**leaves, **buffers}.items()}
        loss: Tensor = torch.func.functional_call(self._call, state, (episode,), strict=False)
        return loss

    def init_params(self, seed: int) -> Params:
        """Return the module's own initial values; ``seed`` has no say, since a module is initialised where it is built."""
        del seed
        return {name: p.detach().clone() for name, p in self._call.module.named_parameters()}

    def split_buffers(self, tensors: Params) -> tuple[Params, Params]:
        """Return ``tensors`` split into parameters and buffers."""
        return _split(tensors, {name for name, _ in self._call.module.named_buffers()})

    def with_buffers(self, buffers: Params) -> ModuleLearner:
        """Return the same learner with other buffers."""
        return ModuleLearner(self._call.module, self._loss, {**self._buffers, **buffers})


class _Call(nn.Module):
    """``loss(module, episode)`` as a module's forward pass, which is what ``functional_call`` can put parameters into."""

    def __init__(self, module: nn.Module, loss: Callable[[nn.Module, Episode], Tensor]) -> None:
        super().__init__()
        self.module = module
        self.loss = loss

    def forward(self, episode: Episode) -> Tensor:
        """Return the loss, ``[]``."""
        return self.loss(self.module, episode)


def _split(tensors: Params, buffer_names: set[str]) -> tuple[Params, Params]:
    inside = {name: value for name, value in tensors.items() if name in buffer_names}
    return {name: value for name, value in tensors.items() if name not in buffer_names}, inside


def learner_names() -> list[str]:
    """Return the names of the registered learners (entry points in ``transference.learners``)."""
    return sorted(entry_points(group=_GROUP).names)


def load_learner(source: str | Checkpoint, config: Mapping[str, Any] | None = None) -> Learner:
    """Find and build a learner.

    Args:
        source: a registered name, ``"module:factory"``, or a checkpoint that names its learner. A checkpoint can only name a registered
            one: a file never decides what code is imported.
        config: settings for the factory; those of the checkpoint by default.

    Raises:
        LearnerError: there is no such learner, or it cannot be built with these settings.
    """
    if isinstance(source, Checkpoint):
        if source.learner is None:
            raise LearnerError(f"{source.path or 'The checkpoint'} does not say what learner it is; name one with --learner.")
        if ":" in source.learner:
            raise LearnerError(
                f"{source.path or 'The checkpoint'} was written by {source.learner!r}, which is not a registered learner. "
                f"Files never import code: if you trust it, name it yourself with --learner {source.learner}."
            )
        return _build(_registered(source.learner), source.learner, source.config if config is None else config)
    return _build(learner_factory(source), source, config or {})


def learner_factory(name: str) -> Callable[..., Any]:
    """Return what builds the learner called ``name``, a registered name or ``"module:factory"``.

    Raises:
        LearnerError: there is none.
    """
    return _imported(name) if ":" in name else _registered(name)


def offered_config(name: str, offers: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the offered settings that the learner takes: MAML wants to know the ways, ProtoNet does not.

    Raises:
        LearnerError: there is no such learner.
    """
    taken = inspect.signature(learner_factory(name)).parameters
    return {key: value for key, value in offers.items() if key in taken}


def _registered(name: str) -> Callable[..., Any]:
    found = entry_points(group=_GROUP, name=name)
    if not found:
        names = learner_names()
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise LearnerError(f"There is no learner {name!r}; there are: {', '.join(names)}, or give module:factory.{hint}")
    factory: Callable[..., Any] = next(iter(found)).load()
    return factory


def _imported(source: str) -> Callable[..., Any]:
    module_name, _, attribute = source.partition(":")
    try:
        factory: Callable[..., Any] = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise LearnerError(f"The learner {source!r} cannot be imported ({error}). Give module:factory, importable from here.") from error
    return factory


def _build(factory: Callable[..., Any], name: str, config: Mapping[str, Any]) -> Learner:
    try:
        learner = factory(**config)
    except (TypeError, ValueError) as error:
        raise LearnerError(f"The learner {name!r} cannot be built with the settings {dict(config)} ({error}).") from error
    if not isinstance(learner, Learner):
        raise LearnerError(f"{name!r} gave a {type(learner).__name__}, which has no method episode_loss(params, episode).")
    return learner


def describe(learner: Learner) -> dict[str, Any]:
    """Return the learner's class and, for a dataclass, its settings, as plain values."""
    return {"class": f"{type(learner).__module__}.{type(learner).__qualname__}", **_trees.settings(learner)}


def bind(learner: Learner, checkpoint: Checkpoint) -> tuple[Learner, Params]:
    """Return the learner and its parameters as this checkpoint has them, buffers set and every tensor accounted for.

    Raises:
        LearnerError: the checkpoint's tensors are not the learner's: some are missing, unexpected or of another shape.
    """
    bound, params = learner, {name: value for name, value in checkpoint.params.items() if value.is_floating_point()}
    if isinstance(learner, BufferedLearner):
        params, buffers = learner.split_buffers(checkpoint.params)
        bound = learner.with_buffers(buffers)
    if isinstance(learner, ConfiguredLearner):
        _check_tensors(params, learner.init_params(seed=0), checkpoint)
    return bound, params


def _check_tensors(found: Params, expected: Params, checkpoint: Checkpoint) -> None:
    shapes: Callable[[Params], dict[str, tuple[int, ...]]] = lambda tree: {name: tuple(value.shape) for name, value in tree.items()}
    have, want = shapes(found), shapes(expected)
    problems = {
        "missing": [f"{name} {want[name]}" for name in want if name not in have],
        "unexpected": [f"{name} {have[name]}" for name in have if name not in want],
        "of another shape": [f"{n} {have[n]} instead of {want[n]}" for n in want if n in have and have[n] != want[n]],
    }
    if any(problems.values()):
        told = "; ".join(f"{what}: {', '.join(names[:4])}{' …' * (len(names) > 4)}" for what, names in problems.items() if names)
        raise LearnerError(
            f"{checkpoint.path or 'The checkpoint'} does not fit the learner ({told}). "
            "Is it a checkpoint of another learner, or of other settings? See --learner."
        )


def check_pure(learner: Learner, params: Params, episode: Episode) -> None:
    """Evaluate the loss twice, a gradient in between, and make sure that the two agree and that nothing moved.

    Args:
        learner: to be checked.
        params: θ on the device and in the precision of the run.
        episode: likewise.

    Raises:
        LearnerError: the learner fails on the episode, its loss is no scalar that depends on the parameters, two calls
            disagree, or a call changed the parameters, the episode, the learner's own tensors or the global random state.
    """
    before = _snapshot(learner, params, episode)
    random_state = torch.get_rng_state()
    try:
        first = learner.episode_loss(params, episode)
        leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
        loss = learner.episode_loss(leaves, episode)
        second = learner.episode_loss(params, episode)
    except Exception as error:
        hint = (
            " In an inner loop take torch.func.grad, or torch.autograd.grad of tensors that the loop itself made require gradients."
            if "does not require grad" in str(error)
            else ""
        )
        raise LearnerError(
            f"The learner failed on the first episode: {type(error).__name__}: {error}. The episode was: {episode.describe()}.{hint}"
        ) from error
    if not isinstance(loss, Tensor) or loss.dim() != 0:
        found = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise LearnerError(f"episode_loss must return a scalar tensor []; it returned {found}. Take the mean over the queries.")
    if not loss.requires_grad:
        raise LearnerError("episode_loss does not depend on params: no gradient reaches them. Does it use the module's own parameters?")
    moved = [name for name, value in _snapshot(learner, params, episode).items() if not _same(value, before.get(name))]
    if moved:
        raise LearnerError(
            f"episode_loss changed {', '.join(moved[:5])}{' …' * (len(moved) > 5)}. It must be a pure function: work on copies "
            "(running statistics of batch norm are the usual culprit; ModuleLearner takes care of them)."
        )
    if not torch.equal(random_state, torch.get_rng_state()):
        raise LearnerError("episode_loss draws random numbers (dropout, augmentation, noise?). Switch them off: losses could not repeat.")
    tolerance = 1e-5 if first.dtype == torch.float32 else 1e-10  # some GPU kernels sum in varying order
    if not torch.allclose(first, second, rtol=tolerance, atol=0.0, equal_nan=True):
        raise LearnerError(
            f"Two calls on the same episode disagree: {float(first):.8g} and {float(second):.8g}. Something is kept between calls, or "
            "random numbers are drawn (dropout, augmentation, running statistics are the usual culprits)."
        )


def _snapshot(learner: Learner, params: Params, episode: Episode) -> dict[str, Tensor]:
    """Return copies of every tensor that a loss could change by mistake, by a name that a message can use."""
    tensors = {f"params[{name!r}]": value for name, value in params.items()}
    tensors |= {f"episode.{name}": value for name, value in episode.items()}
    for name, value in getattr(learner, "__dict__", {}).items():
        if isinstance(value, Tensor):
            tensors[f"the learner's {name}"] = value
        elif isinstance(value, nn.Module):
            tensors |= {f"the learner's {name}.{key}": tensor for key, tensor in value.state_dict().items()}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _same(after: Tensor, before: Tensor | None) -> bool:
    return before is not None and after.shape == before.shape and torch.equal(after.nan_to_num(), before.nan_to_num())
