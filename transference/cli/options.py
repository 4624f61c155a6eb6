"""Options that several commands share, and the parsing of their values."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from transference.addresses import refuse_address
from transference.cli.printing import say
from transference.errors import UsageError
from transference.plain import read_toml
from transference.statistics import NEUTRAL_BAND

FAILED_CELLS = 3
"""Exit code of a command that is done, but for some cells that failed."""

_F = TypeVar("_F", bound=Callable[..., Any])


class RenamedChoice(click.Choice[str]):
    """A choice that still takes the names of version 0.1, and says the new ones.

    Args:
        choices: the names.
        renamed: new names by old ones.
    """

    def __init__(self, choices: Sequence[str], renamed: Mapping[str, str]) -> None:
        super().__init__(choices)
        self._renamed = renamed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        """Return the name as it is now."""
        if value in self._renamed:
            option = param.opts[0] if param else "the option"
            say(f"note: {option} {value} is called {self._renamed[value]} now; the old name will go", err=True)
            value = self._renamed[value]
        return super().convert(value, param, ctx)


EPISODE = {"ways": 5, "shots": 1, "queries": 15, "side": 28, "channels": 3}
"""The shape of an episode, where neither the command nor the checkpoint says otherwise."""

_EPISODE_HELP = {
    "ways": "Classes per task.",
    "shots": "Support images per class; for functions, support points.",
    "queries": "Query images per class; for functions, query points.",
    "side": "Image side in pixels.",
    "channels": "Image channels, 1 or 3.",
}


class PathType(click.Path):
    """The path of a file or folder. An empty one, as a variable of a shell that is not set gives, would mean the current folder."""

    def __init__(self, *, exists: bool = False, dir_okay: bool = True) -> None:
        super().__init__(exists=exists, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        """Return the path.

        Raises:
            UsageError: it is empty, or an address.
        """
        if os.fspath(value) == "":
            asked = (
                max(param.opts, key=len)
                if isinstance(param, click.Option)
                else param.human_readable_name
                if param
                else "a path"
            )
            raise UsageError(
                f"{asked} was given as an empty name. Is a variable of the shell not set? The current folder is called '.'."
            )
        self.look_at(os.fspath(value))
        return super().convert(value, param, ctx)

    def look_at(self, value: str) -> None:
        """Refuse an address.

        Raises:
            UsageError: it is one.
        """
        refuse_address(value)


def episode_options(whose: str, names: Collection[str] = tuple(EPISODE)) -> Callable[[_F], _F]:
    """Return a decorator that adds the shape of an episode; what is not given is None.

    Args:
        whose: says in the help text who decides then, before `EPISODE` does.
        names: of the options that this is true of; for the others `EPISODE` decides.
    """

    def decorate(command: _F) -> _F:
        for name, default in reversed(EPISODE.items()):
            text = f"{_EPISODE_HELP[name]}  [default: {f'{whose}, else {default}' if name in names else default}]"
            command = click.option(f"--{name}", type=click.IntRange(1), metavar="N", help=text)(command)
        return command

    return decorate


def reading_options(command: _F) -> _F:
    """Add what a file of another program may need to be read: which part of it, and by which names."""
    for option in (
        click.option("--unsafe-load", is_flag=True, help="Let a checkpoint run code while it loads; a run records it."),
        click.option(
            "--ignore",
            metavar="PATTERN",
            multiple=True,
            help="Leave out the tensors whose names match, such as 'fc.*' for a head; repeat for several.",
        ),
        click.option(
            "--strip-prefix",
            metavar="PREFIX",
            help="Take this off the beginning of all names, such as 'module.'; compute and evaluate recognise one "
            "without which all names are the learner's.",
        ),
        click.option(
            "--key",
            metavar="NAME",
            help="Where in the file the state_dict is, such as net or ema.model.  [default: a usual key, or the only]",
        ),
    ):
        command = option(command)
    return command


def config_option(command: _F) -> _F:
    """Add the file with settings of the learner."""
    return click.option(
        "--config",
        type=PathType(exists=True, dir_okay=False),
        help="TOML file with settings of the learner; see transference learners.",
    )(command)


def read_config(config: Path | None) -> dict[str, Any]:
    """Return the settings in a TOML file, none without one.

    Raises:
        UsageError: it is no TOML, or holds what a checkpoint cannot carry.
    """
    if config is None:
        return {}
    try:
        return read_toml(config.read_bytes())  # what a checkpoint can carry
    except ValueError as error:
        raise UsageError(
            f"{config} is no TOML file of plain settings ({error}). Write one setting a line, for example inner_steps = 1."
        ) from error


def band_option(command: _F) -> _F:
    """Add the neutral band."""
    return click.option(
        "--neutral",
        type=(float, float),
        default=NEUTRAL_BAND,
        metavar="LOW HIGH",
        help=f"Ratios from LOW up to HIGH count as neutral.  [default: 1 {NEUTRAL_BAND[1]:.4f}, one bar of the histogram]",
    )(command)


def page_options(command: _F) -> _F:
    """Add what a page that shows support sets needs to draw them again, and where it is written."""
    shape = {"side": "side of the runs in pixels", "channels": "channels of the runs"}
    for option in (
        click.option("-o", "--output", type=PathType(), required=True, help="The page, .html."),
        band_option,
        *(
            click.option(
                f"--{name}", type=click.IntRange(1), metavar="N", help=f"Image {text}.  [default: what run.json says]"
            )
            for name, text in reversed(shape.items())
        ),
        click.option("--data-root", type=PathType(), metavar="DIR", help="Folder with the images of the tasks."),
    ):
        command = option(command)
    return command


def check_page_name(output: Path) -> None:
    """Make sure that a page can be saved under this name.

    Raises:
        UsageError: it has another ending.
    """
    if output.suffix not in (".html", ".htm"):
        raise UsageError(f"{output} was asked for; the name of a page ends in .html.")


def import_from_here() -> None:
    """Let ``module:factory`` name a file in the current folder, as ``python -m`` would."""
    if "" not in sys.path:
        sys.path.insert(0, "")


def split_modes(text: str, option: str = "--modes") -> tuple[str, ...]:
    """Return the names in a comma-separated list.

    Raises:
        UsageError: the list is empty, holds a name twice, a split, or an address.
    """
    for name in text.split(","):
        refuse_address(name.strip())
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or len(set(names)) != len(names) or any(":" in name for name in names):
        raise UsageError(
            f"{option} {text!r} was asked for; give different dataset names without a split, for example omniglot,cifar100."
        )
    return names
