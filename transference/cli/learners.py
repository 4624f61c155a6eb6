"""The command ``transference learners``."""

from __future__ import annotations

import inspect

import click

from transference.learners import learner_factory, learner_names


@click.command(
    short_help="List the learners and their settings.",
    epilog="""\b
Examples:
  transference learners
  transference compute CHECKPOINT --learner protonet ...""",
)
def learners() -> None:
    """List the registered learners with their settings."""
    for name in learner_names():
        factory = learner_factory(name)
        about = (inspect.getdoc(factory) or "").splitlines()[0]
        parameters = inspect.signature(factory).parameters.values()
        settings = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default}" for p in parameters)
        click.echo(f"{name}\n    {about}\n    settings: {settings}")
