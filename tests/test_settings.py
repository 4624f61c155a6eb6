"""Options from a file: `--settings` and `--save-settings`, the same way for every command that has them."""

import json

import click
import pytest
import torch
from click.testing import CliRunner

import transference as tr
from tests.strangers import Net
from transference.cli import main
from transference.cli.settings import FileArgument, command_of, given_by_file, with_settings

WITH_SETTINGS = ["compute", "plot", "report", "train"]


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@with_settings
@click.command("toy")
@click.option("--n-things", type=click.IntRange(1), default=3)
@click.option("--rate", type=float, multiple=True)
@click.option("--tag", multiple=True)
@click.option("--span", type=(float, float), default=(0.5, 1.5))
@click.option("--kind", type=click.Choice(["one", "two"]), default="one")
@click.option("--loud", is_flag=True)
@click.option("--dry-run", is_flag=True)
@click.pass_context
def toy(ctx, /, **values):
    click.echo(json.dumps({"values": values, "command": command_of(ctx), "by_file": given_by_file(ctx)}))


def toyed(*words):
    result = CliRunner().invoke(toy, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def settings(tmp_path):
    def write(text):
        file = tmp_path / "run.toml"
        file.write_text(text)
        return file

    return write


def test_a_file_gives_options_of_every_type_and_the_command_line_wins(settings):
    file = settings('n_things = 5\nrate = [0.1, 1]\ntag = "a"\nspan = [0, 2]\nkind = "two"\nloud = true\n')
    found = toyed("--settings", file)["values"]
    assert found == {
        "n_things": 5, "rate": [0.1, 1.0], "tag": ["a"], "span": [0.0, 2.0], "kind": "two", "loud": True, "dry_run": False,
    }  # fmt: skip
    line = toyed("--n-things", 7, "--rate", 9, "--settings", file, "--no-loud")["values"]
    assert line == {**found, "n_things": 7, "rate": [9.0], "loud": False}
    assert toyed("--n-things", 7)["values"]["rate"] == []


def test_a_recorded_command_spells_out_what_the_file_gave(settings):
    file = settings("n-things = 5\nloud = true\nspan = [0, 2]\n")
    first = toyed("--settings", file, "--tag", "b c")
    assert first["by_file"]
    assert "--settings" not in first["command"]
    again = toyed(*first["command"][2:])
    assert again["values"] == first["values"]
    assert not again["by_file"]


def test_saved_settings_give_the_same_options(tmp_path):
    file, words = (
        tmp_path / "saved.toml",
        ["--rate", 1e-5, "--rate", 3, "--tag", 'a "b"\\\x7f\n', "--kind", "two", "--loud"],
    )
    first = toyed(*words, "--dry-run", "--save-settings", file)["values"]
    again = toyed("--settings", file)["values"]
    assert again == {**first, "dry_run": False}  # what a dry run saved is for the run
    toyed("--n-things", 4, "--settings", file, "--save-settings", file)
    assert toyed("--settings", file)["values"] == {**again, "n_things": 4}


def test_nothing_but_saved_settings_is_replaced(settings):
    file = settings("name = 'mine'\n")
    with pytest.raises(tr.errors.UsageError, match="did not write"):
        CliRunner().invoke(toy, ["--save-settings", str(file)], catch_exceptions=False)
    assert file.read_text() == "name = 'mine'\n"


@with_settings
@click.command("files")
@click.argument("files", cls=FileArgument, nargs=-1, required=True)
def files(files):
    click.echo(json.dumps(files))


def test_arguments_may_be_patterns_in_a_file_as_in_a_shell(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("step-2.pt", "step-1.pt", "[odd].pt"):
        (tmp_path / name).touch()
    found = CliRunner().invoke(files, ["--settings", str(settings("files = ['step-*.pt', '[odd].pt', 'none.pt']"))])
    assert json.loads(found.stdout) == ["step-1.pt", "step-2.pt", "[odd].pt", "none.pt"]
    given = CliRunner().invoke(files, ["other.pt", "--settings", str(settings("files = 'step-*.pt'"))])
    assert json.loads(given.stdout) == ["other.pt"]
    with pytest.raises(tr.errors.UsageError, match=r"run.toml: files names 'no-\*.pt', and there is no such file"):
        CliRunner().invoke(files, ["--settings", str(settings("files = 'no-*.pt'"))], catch_exceptions=False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("n-thigs = 5", "n-things"),
        ("n-things = 'five'", "n-things is 'five'; expected a whole number"),
        ("n-things = 5.5", "n-things"),
        ("n-things = true", "n-things"),
        ("n-things = 0", "n-things"),
        ("n-things = [1, 2]", "n-things"),
        ("rate = ['a']", "rate"),
        ("rate = [[1]]", "rate"),
        ("tag = [1]", "tag"),
        ("kind = 'three'", "kind"),
        ("kind = ['one']", "kind"),
        ("loud = 1", "loud is 1; expected true or false"),
        ("span = [1]", "span"),
        ("span = 1", "span"),
        ("n-things = 1\nn_things = 2", "twice"),
        ("[toy]\nn-things = 1", "toy"),
        ("settings = 'other.toml'", "settings"),
        ("n-things = ", "TOML"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line_with_file_and_key(settings, text, told):
    file = settings(text)
    with pytest.raises(tr.errors.UsageError) as raised:
        CliRunner().invoke(toy, ["--settings", str(file)], catch_exceptions=False)
    assert str(file) in str(raised.value)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("command", WITH_SETTINGS)
def test_every_command_refuses_strange_keys_and_says_whose_they_are(settings, command):
    other = "iterations" if command != "train" else "n-source"
    for text, told in (
        (f"{other} = 5", "transference " + ("compute" if command == "train" else "train")),
        ("x-y-z = 5", "--help"),
    ):
        result = call(command, "--settings", settings(text))
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert told in result.stderr


def test_settings_may_give_everything_and_measure_the_same(tmp_path, settings):
    checkpoint = tmp_path / "net_7.pt"
    torch.save(Net().state_dict(), checkpoint)
    whole = [
        checkpoint, "--learner", "tests.strangers:make_net_learner", "--source", "strokes:val", "--target", "shapes:val", "--alpha", 0.01,
        "--alpha", 1e-3, "--n-source", 2, "--n-target", 2, "--ways", 3, "--queries", 2, "--engine", "loop", "--controls", 0,
        "--device", "cpu", "--tile", 2, 1,
    ]  # fmt: skip
    saved = tmp_path / "saved.toml"
    first = call("compute", *whole, "--out", tmp_path / "first", "--save-settings", saved)
    assert first.exit_code == 0, first.output
    second = call("compute", "--settings", saved, "--out", tmp_path / "second")
    assert second.exit_code == 0, second.output
    one, other = (tr.open_run(tmp_path / name) for name in ("first", "second"))
    assert one.spec.digest == other.spec.digest
    words = other.about()["command"]
    assert "--settings" not in words
    saved.unlink()
    again = call(*words[1:-1], tmp_path / "third")
    assert again.exit_code == 0, again.output
    assert tr.open_run(tmp_path / "third").spec.digest == one.spec.digest
    figure = tmp_path / "types.csv"
    file = settings(
        f"runs = ['{tmp_path / 'first'}']\nkind = 'histogram'\nalpha = 0.01\noutput = '{figure.with_suffix('.svg')}'"
    )
    drawn = call("plot", "--settings", file)
    assert drawn.exit_code == 0, drawn.output
    record = json.loads(figure.with_suffix(".json").read_text())
    assert "--alpha 0.01" in record["command"]
    assert "--settings" not in record["command"]
