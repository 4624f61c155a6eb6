"""The commands as one group: which there are, and how each of them ends."""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

import click

from transference.cli._interrupts import INTERRUPTED, TERMINATED, TerminatedError, held, terminable
from transference.cli.printing import begin_in_utf8, plain_where_needed, say
from transference.errors import TransferenceError, first_line, in_one_line

_GROUP = "transference.commands"
_OWN = {
    "choose": "transference.cli.choose:choose",
    "compute": "transference.cli.compute:compute",
    "convert": "transference.cli.convert:convert",
    "datasets": "transference.cli.datasets:datasets",
    "demo": "transference.cli.demo:demo",
    "explore": "transference.cli.explore:explore",
    "export": "transference.cli.export:export",
    "learners": "transference.cli.learners:learners",
    "plot": "transference.cli.plot:plot",
    "report": "transference.cli.report:report",
    "summary": "transference.cli.summary:summary",
    "verify": "transference.cli.verify:verify",
}

_ADVICE = {
    errno.ENOSPC: "Free some space on that disk",
    errno.EDQUOT: "Free some space, or ask for a larger quota",
    errno.EROFS: "Choose a place that can be written to",
    errno.EACCES: "Choose a place that you may read and write, or change its permissions",
    errno.EPERM: "Choose a place that you may read and write, or change its permissions",
    errno.ENOENT: "Choose a path that is there, or for what is written a place where folders can be made",
    errno.ENOTDIR: "Choose a path that leads through folders only",
    errno.ENAMETOOLONG: "Choose a shorter name",
}
"""What to do about it; what was finished stays."""


class _Commands(click.Group):
    """Our own commands, and those that other packages register as entry points in ``transference.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, sorted."""
        del ctx
        return sorted({*_OWN, *entry_points(group=_GROUP).names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command asked for: of ours the options, of another package whatever it takes."""
        del ctx
        with held():
            if cmd_name in _OWN:
                module, _, attribute = _OWN[cmd_name].partition(":")
                command: click.Command = getattr(importlib.import_module(module), attribute)
                return command
            for entry_point in entry_points(group=_GROUP, name=cmd_name):
                return _foreign(entry_point)
        return None

    def main(self, args: Sequence[str] | None = None, *rest: Any, **settings: Any) -> Any:  # noqa: ANN401 - click's
        """Run the program; without ``args`` this process is its own."""
        if args is None:
            begin_in_utf8()
            os.environ["MPLBACKEND"] = "agg"  # figures go to files; what is set for a notebook or a window has no say
        with plain_where_needed():
            return super().main(args, *rest, **settings)

    def make_context(self, *args: Any, **settings: Any) -> click.Context:  # noqa: ANN401 - click's
        """Parse the command line, for ``--help`` with an import of every command."""
        with _told():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; our errors become a message and an exit code instead of a traceback."""
        with _told(), terminable():
            return super().invoke(ctx)


def _foreign(entry_point: EntryPoint) -> click.Command:
    """Return the command of another package; of one that cannot be imported a command that says so, since help lists all of them."""
    try:
        found = entry_point.load()
    except (Exception, SystemExit) as error:
        why = f"{type(error).__name__}: {first_line(error)}"
    else:
        if isinstance(found, click.Command):
            return found
        why = f"{entry_point.value} is no command of click: {type(found).__name__}"
    package = entry_point.dist.name if entry_point.dist else "another package"

    def fail(**_: object) -> None:
        raise TransferenceError(
            f"The command {entry_point.name}, which comes with {package}, cannot be loaded ({why}). Mend or remove that package."
        )

    return click.Command(
        entry_point.name,
        callback=fail,
        short_help=f"(cannot be loaded: {in_one_line(why)})",
        add_help_option=False,
        params=[click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
    )


@contextmanager
def _told() -> Iterator[None]:
    """Say in one line what ended the block."""
    try:
        yield
    except TransferenceError as error:
        _leave(error, error.exit_code)
    except BrokenPipeError:  # whoever reads has had enough, as in `| head`; click knows what to do
        raise
    except OSError as error:  # a disk that is full, a folder that is a file, a name without permission
        _leave(_of_the_system(error), 1)
    except MemoryError as error:
        _leave(
            f"Memory ran out ({in_one_line(error) or 'of this machine'}). Ask for less at a time, or take a machine with more.",
            1,
        )
    except UnicodeEncodeError as error:  # a folder's name that is no text, where text is to be written
        _leave(
            f"{in_one_line(error.object)[:200]} cannot be written as {error.encoding} ({error.reason}). Give it another name.",
            1,
        )
    except (KeyboardInterrupt, click.Abort) as error:
        terminated = isinstance(error, TerminatedError) or isinstance(error.__cause__, TerminatedError)
        raise click.exceptions.Exit((TERMINATED if terminated else INTERRUPTED).tell()) from error


def _leave(why: object, exit_code: int) -> NoReturn:
    say(f"error: {why}", err=True)
    raise click.exceptions.Exit(exit_code)


def _of_the_system(error: OSError) -> str:
    """Return what the operating system refused, and what to do."""
    if error.errno is None or not error.strerror:
        return str(error)
    where = " → ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    advice = _ADVICE.get(error.errno)
    return (
        (f"{where}: " if where else "") + error.strerror + (f". {advice}, then repeat the command." if advice else "")
    )


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="transference")
def main() -> None:
    """Which tasks help, and which hurt each other, in a meta-learner.

    For each source task the checkpoint takes one step on it; for each target task the loss is measured before and after. Their ratio is
    below 1 where the source helped the target, above 1 where it hurt.

    \b
    Exit codes: 0 done; 1 failed; 2 usage, or a spec that differs from the run folder's;
    3 done, but some cells failed; 130 interrupted, 143 terminated,
    both resumable by the same command.

    \b
    Start with:
      transference demo --out demo
    """
