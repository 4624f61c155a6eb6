"""The command line: parse, build the spec, call the public function. One file per command, loaded when it is called."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

import click

from transference.errors import TransferenceError, printable

_GROUP = "transference.commands"
_OWN = {
    "compute": "transference.cli.compute:compute",
    "convert": "transference.cli.convert:convert",
    "datasets": "transference.cli.datasets:datasets",
    "demo": "transference.cli.demo:demo",
    "export": "transference.cli.export:export",
    "learners": "transference.cli.learners:learners",
    "plot": "transference.cli.plot:plot",
    "report": "transference.cli.report:report",
    "summary": "transference.cli.summary:summary",
    "verify": "transference.cli.verify:verify",
}


class _Commands(click.Group):
    """Our own commands, and those that other packages register as entry points in ``transference.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, sorted."""
        del ctx
        return sorted({*_OWN, *entry_points(group=_GROUP).names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command asked for."""
        del ctx
        if cmd_name in _OWN:
            module, _, attribute = _OWN[cmd_name].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        for entry_point in entry_points(group=_GROUP, name=cmd_name):
            foreign: click.Command = entry_point.load()
            return foreign
        return None

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; our errors become a message and an exit code instead of a traceback."""
        try:
            return super().invoke(ctx)
        except TransferenceError as error:
            click.echo(f"error: {printable(error)}", err=True)
            ctx.exit(error.exit_code)
        except BrokenPipeError:  # whoever reads has had enough, as in `| head`; click knows what to do
            raise
        except OSError as error:  # a disk that is full, a folder that is a file, a name without permission
            click.echo(f"error: {printable(error)}", err=True)
            ctx.exit(1)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted; repeat the same command to go on from here", err=True)
            ctx.exit(130)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="transference")
def main() -> None:
    """Which tasks help, and which hurt each other, in a meta-learner.

    For each source task the checkpoint takes one step on it; for each target task the loss is measured before and after. Their ratio is
    below 1 where the source helped the target, above 1 where it hurt.

    \b
    Exit codes: 0 done; 1 failed; 2 usage, or a spec that differs from the run folder's;
    3 done, but some cells failed; 130 interrupted, resumable by the same command.

    \b
    Start with:
      transference demo --out demo
    """
