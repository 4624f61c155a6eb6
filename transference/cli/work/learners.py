"""What ``transference learners`` does, once its options are read."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any, get_type_hints

from transference.cli.printing import say
from transference.learners import learner_factory, learner_names


def learners(name: str | None) -> None:
    """Do what ``transference learners`` was asked."""
    for each in [name] if name else learner_names():
        factory = learner_factory(each)
        about = (inspect.getdoc(factory) or "").splitlines()[0]
        parameters = inspect.signature(factory).parameters.values()
        settings = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default}" for p in parameters)
        say(f"{each}\n    {about}\n    settings: {settings}")
    if name:
        say("\n" + "\n\n".join(_documents(learner_factory(name))))


def _documents(factory: Callable[..., Any]) -> list[str]:
    """Return the docstrings of the factory's module, and of the class that it makes where that is defined elsewhere."""
    module = sys.modules[factory.__module__]
    made = factory if inspect.isclass(factory) else get_type_hints(factory).get("return")
    documents = [inspect.getdoc(module) or ""]
    if inspect.isclass(made):
        documents.append(f"{made.__name__}\n" + textwrap.indent(inspect.getdoc(made) or "", "    "))
    return documents
