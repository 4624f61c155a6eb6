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
        settings = ", ".join(f"{parameter.name}={parameter.default}" for parameter in inspect.signature(factory).parameters.values())
        click.echo(f"{name:12} {about}\n{'':12} settings: {settings}")
