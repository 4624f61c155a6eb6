"""Finding and building a learner by name."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

from transference.checkpoints import Checkpoint
from transference.devices import restored
from transference.errors import LearnerError, TransferenceError
from transference.learners._protocol import Learner, told

_GROUP = "transference.learners"


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
            raise LearnerError(
                f"{source.path or 'The checkpoint'} does not say what learner it is; name one with --learner."
            )
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
        raise LearnerError(
            f"There is no learner {name!r}; there are: {', '.join(names)}, or give module:factory.{hint}"
        )
    with restored():
        factory: Callable[..., Any] = next(iter(found)).load()
    return factory


def _imported(source: str) -> Callable[..., Any]:
    module_name, _, attribute = source.partition(":")
    try:
        with restored():  # what a learner's file sets for its own training has no say in ours
            factory: Callable[..., Any] = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise LearnerError(
            f"The learner {source!r} cannot be imported ({error}). Give module:factory, importable from here."
        ) from error
    except (Exception, SystemExit) as error:
        raise LearnerError(
            f"The learner {source!r} cannot be imported: {told(error)}. Mend the file, and repeat the command."
        ) from error
    return factory


def _build(factory: Callable[..., Any], name: str, config: Mapping[str, Any]) -> Learner:
    try:
        with restored():
            learner = factory(**config)
    except TransferenceError:
        raise
    except (TypeError, ValueError) as error:
        raise LearnerError(
            f"The learner {name!r} cannot be built with the settings {dict(config)} ({error})."
        ) from error
    except (Exception, SystemExit) as error:
        raise LearnerError(
            f"The learner {name!r} cannot be built with the settings {dict(config)}: {told(error)}."
        ) from error
    if not isinstance(learner, Learner):
        raise LearnerError(
            f"{name!r} gave a {type(learner).__name__}, which has no method episode_loss(params, episode)."
        )
    return learner
