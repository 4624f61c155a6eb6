"""Options of a command from a TOML file, and the options in force as such a file: `with_settings`, one way for every command.

Whatever the command line says wins; the file is click's default map, so that types, ranges and help are those of the options.
"""

from __future__ import annotations

import difflib
import functools
import glob
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from transference.cli.options import PathType
from transference.errors import UsageError
from transference.files import write_aside
from transference.plain import read_toml, unfit

_READ = "settings"
_SAVE = "save_settings"
_MARK = "# Settings of transference"
"""How a saved file begins; only such a file is replaced."""

_NOT_SAVED = {"dry_run", "shard"}
"""A file that was saved by a dry run is for the run itself, and one that was saved by a shard for all of them."""


class FileArgument(click.Argument):
    """An argument that the file of ``--settings`` may give. Click before 8.3 takes none of a list for an empty list that was given."""

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """Return the value, and where it comes from."""
        value, source = super().consume_value(ctx, opts)
        given = (ctx.default_map or {}).get(str(self.name))
        return (given, ParameterSource.DEFAULT_MAP) if value == () and given else (value, source)


def with_settings(command: click.Command) -> click.Command:
    """Add ``--settings`` and ``--save-settings`` to a command, and to each of its flags the word that takes it back.

    Used above ``@click.command``; arguments of the command have ``cls=FileArgument``.
    """
    for parameter in _settable(command):
        if isinstance(parameter, click.Option) and parameter.is_flag and not parameter.secondary_opts:
            parameter.secondary_opts = [f"--no-{_key(parameter)}"]  # or what the file switches on would stay on
    command.params += [
        click.Option(
            ["--settings"],
            type=PathType(exists=True, dir_okay=False),
            metavar="FILE.toml",
            is_eager=True,  # before the options that it may give
            expose_value=False,
            callback=_take,
            help="Options of this command from a TOML file, n-source = 50; the command line wins. Relative paths in it start at the "
            "current folder.",
        ),
        click.Option(
            ["--save-settings"],
            type=PathType(dir_okay=False),
            metavar="FILE.toml",
            expose_value=False,
            callback=_remember,
            help="Write the options in force as a file for --settings.",
        ),
    ]
    run = command.callback
    assert run is not None

    @functools.wraps(run)
    def saving(*args: Any, **values: Any) -> Any:  # noqa: ANN401 - the command's
        ctx = click.get_current_context()
        if file := ctx.meta.get(_SAVE):
            _save(ctx, file)
        return run(*args, **values)

    command.callback = saving
    return command


def given_by_file(ctx: click.Context) -> bool:
    """Return whether any option comes from a file of settings."""
    return any(ctx.get_parameter_source(str(p.name)) is ParameterSource.DEFAULT_MAP for p in ctx.command.params)


def command_of(ctx: click.Context) -> list[str]:
    """Return the command as it was given, also where another command called it.

    What a file of settings gave is written out as options: the file may be changed later, or lie elsewhere.
    """
    words = ["transference", str(ctx.command.name)]
    for parameter in _settable(ctx.command):
        source = ctx.get_parameter_source(str(parameter.name))
        if source not in (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP):
            continue
        value = ctx.params[str(parameter.name)]
        if isinstance(parameter, click.Argument):
            words += map(str, value)
        elif isinstance(parameter, click.Option):
            for one in value if parameter.multiple else [value]:
                words.append(parameter.secondary_opts[0] if one is False else parameter.opts[0])
                words += [] if parameter.is_flag else map(str, one) if parameter.nargs > 1 else [str(one)]
    return words


def _settable(command: click.Command) -> list[click.Parameter]:
    """Return the parameters that a file may give: all that the command is called with."""
    return [parameter for parameter in command.params if parameter.expose_value]


def _key(parameter: click.Parameter) -> str:
    """Return what a parameter is called in a file: its long name without the dashes in front."""
    return max(parameter.opts, key=len).lstrip("-") if isinstance(parameter, click.Option) else str(parameter.name)


def _take(ctx: click.Context, _: click.Parameter, file: Path | None) -> None:
    """Make what the file says the defaults of the command's options.

    Raises:
        UsageError: it is no TOML, or not of options of this command.
    """
    if file is None or ctx.resilient_parsing:
        return
    try:
        content = read_toml(file.read_bytes())
    except ValueError as error:
        raise UsageError(
            f"{file} is no TOML file of options ({error}). Write one option a line, for example n-source = 50."
        ) from error
    ctx.default_map = {**(ctx.default_map or {}), **options_in(ctx, file, content)}


def options_in(ctx: click.Context, file: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a command's options that a file gives, by the names of the parameters.

    Args:
        ctx: of the command.
        file: that the content is from, for messages.
        content: by option.

    Raises:
        UsageError: it names what is no option of this command or an option twice, or gives one a value that is none of its.
    """
    known = {_key(parameter): parameter for parameter in _settable(ctx.command)}
    found: dict[str, Any] = {}
    for written, value in content.items():
        parameter = known.get(written.replace("_", "-"))
        if parameter is None:
            raise UsageError(f"{file} has {written!r}, which {_stranger(ctx, written.replace('_', '-'), known)}")
        if str(parameter.name) in found:
            raise UsageError(f"{file} gives {_key(parameter)} twice, the second time as {written!r}; give it once.")
        found[str(parameter.name)] = _value(ctx, file, parameter, value)
    return found


def _stranger(ctx: click.Context, key: str, known: Mapping[str, click.Parameter]) -> str:
    """Return what to say of a key that is no option of the command."""
    name, root = ctx.command.name, ctx.find_root()
    others = []
    if isinstance(root.command, click.Group):
        commands = {
            other: root.command.get_command(root, other) for other in root.command.list_commands(root) if other != name
        }
        others = [
            f"transference {other}"
            for other, command in commands.items()
            if command
            and any(parameter.name == _READ for parameter in command.params)
            and key in map(_key, _settable(command))
        ]
    if others:
        return f"is no option of transference {name}, but of {' and '.join(others)}; leave it out, or take a file for each."
    close = difflib.get_close_matches(key, known, n=1)
    listed = f"transference {name} --help lists them." if ctx.parent else f"They are {', '.join(known)}."
    advice = f"Did you mean {close[0]}?" if close else listed
    return f"is no option of transference {name}. {advice}"


def _value(ctx: click.Context, file: Path, parameter: click.Parameter, value: object) -> object:
    """Return a value from the file as its option has it.

    Raises:
        UsageError: it is of another type, or out of range.
    """
    key, several = _key(parameter), parameter.multiple or parameter.nargs == -1
    listed = value if several and isinstance(value, list) else [value]
    if not all(_fits(parameter, one) for one in listed):
        raise UsageError(f"{file}: {unfit(key, value, _expected(parameter))}.")
    if isinstance(parameter, FileArgument):
        listed = [path for pattern in listed for path in _expanded(file, key, str(pattern))]
    plain = [[str(part) for part in one] if isinstance(one, list) else str(one) for one in listed]
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return value
    try:
        return parameter.type_cast_value(ctx, plain if several else plain[0])
    except click.BadParameter as error:
        raise UsageError(f"{file}: {unfit(key, value, _expected(parameter))}: {error.message}") from error
    except UsageError as error:
        raise UsageError(f"{file}: {key}: {error}") from error


def _expanded(file: Path, key: str, pattern: str) -> list[str]:
    """Return the paths of a pattern, sorted, as a shell would give them to the command.

    Raises:
        UsageError: there are none.
    """
    if Path(pattern).exists() or not glob.has_magic(pattern):
        return [pattern]
    if found := sorted(glob.glob(pattern)):  # noqa: PTH207 - which takes absolute patterns too
        return found
    raise UsageError(f"{file}: {key} names {pattern!r}, and there is no such file in the current folder, {Path.cwd()}.")


def _fits(parameter: click.Parameter, value: object) -> bool:
    """Return whether one value of the file is of the type of its option, which is not yet to say that it is in its range."""
    if parameter.nargs > 1:
        kinds = getattr(parameter.type, "types", [parameter.type] * parameter.nargs)
        return isinstance(value, list) and len(value) == len(kinds) and all(map(_is, value, kinds))
    return _is(value, parameter.type) or (  # a text that holds a number: a step, an index
        isinstance(value, int) and not isinstance(value, bool) and parameter.metavar in ("N", "MODE:INDEX")
    )


def _is(value: object, kind: click.ParamType[Any]) -> bool:
    if isinstance(kind, click.types.BoolParamType):
        return isinstance(value, bool)
    if isinstance(kind, click.types.IntParamType):
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(kind, click.types.FloatParamType):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str)


def _expected(parameter: click.Parameter) -> str:
    """Return in words what a file may give an option."""
    kinds = getattr(parameter.type, "types", [parameter.type])
    word = {
        click.types.BoolParamType: "true or false",
        click.types.IntParamType: "a whole number",
        click.types.FloatParamType: "a number",
    }
    one = next((text for kind, text in word.items() if isinstance(kinds[0], kind)), "a text in quotes")
    if parameter.nargs > 1:
        return f"a list of {len(kinds)}, each {one}"
    return f"{one}, or a list of such" if parameter.multiple or parameter.nargs == -1 else one


def _remember(ctx: click.Context, _: click.Parameter, file: Path | None) -> None:
    """Keep where the settings are to be written, once all of them are known."""
    if file is not None:
        ctx.meta[_SAVE] = file


def _save(ctx: click.Context, file: Path) -> None:
    """Write the options in force.

    Raises:
        UsageError: a file that is none of saved settings is in the way.
    """
    if file.exists() and not file.read_bytes().startswith(_MARK.encode()):
        raise UsageError(f"--save-settings {file} would replace a file that it did not write; choose another name.")
    text = "\n".join(_lines(ctx)) + "\n"
    write_aside(file, lambda aside: aside.write_text(text, encoding="utf-8"))


def _lines(ctx: click.Context) -> Iterator[str]:
    yield f"{_MARK} {ctx.command.name}, version {version('transference')}."
    yield "# Relative paths start at the folder in which the command is called."
    for parameter in _settable(ctx.command):
        value = ctx.params[str(parameter.name)]
        if parameter.name not in _NOT_SAVED and value is not None and value != ():
            yield f"{_key(parameter)} = {_in_toml(value)}"


def _in_toml(value: object) -> str:
    """Return a value of an option as TOML has it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_in_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    # JSON's escapes are TOML's; only DEL is a letter there that must be escaped here
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
