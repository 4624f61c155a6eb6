"""A path is a path: no name of a folder or file is read as a protocol, an address or a pattern."""

import io

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

import transference as tr
from transference.cli import main

pytestmark = pytest.mark.slow

NAMES = ["12:30:01", "s3:x", "file:y", "50%20", "a#b?c", "two words", "line\nbreak", "[a]*", "-x=1"]


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def run(learner, checkpoint, sources, targets):
    """Measure into a folder that a name leads to from the current one."""

    def measure(out):
        return tr.measure(
            learner, checkpoint, sources, targets, n_source=2, n_target=2, lookahead=tr.SGD(0.01), out=out
        )

    return measure


@pytest.mark.parametrize("name", NAMES)
def test_a_run_may_have_any_name(run, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    expected = run(name).matrix()
    assert expected.shape == (2, 2)
    for words in (["summary"], ["verify"]):
        assert call(*words, "--", name).exit_code == 0
    np.testing.assert_array_equal(tr.open_run(name).matrix(), expected)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_may_have_any_name(run, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    expected = run("run").matrix()
    for suffix, read in {".csv": pd.read_csv, ".parquet": pd.read_parquet}.items():
        assert call("export", "run", "--", f"{name}{suffix}").exit_code == 0
        with (tmp_path / f"{name}{suffix}").open("rb") as file:
            assert read(file)["loss_ratio"].tolist() == expected.flatten().tolist()
    assert call("export", "run", "--", f"{name}.npz").exit_code == 0
    with np.load(tmp_path / f"{name}.npz") as matrices:
        np.testing.assert_array_equal(matrices["step=10,alpha=0.01"], expected)
    for suffix in (".png", ".svg", ".pdf"):
        assert call("plot", "run", "--kind", "matrix", f"--output={name}-{suffix}").exit_code == 0
        assert (tmp_path / f"{name}-{suffix}").stat().st_size > 5000
    assert call("report", "run", f"--output={name}.html").exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "run",
        *(f"{name}.{suffix}" for suffix in ("csv", "parquet", "npz", "html")),
        *(f"{name}-.{suffix}" for suffix in ("csv", "json", "png", "svg", "pdf")),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_datasets_may_have_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    rows = [{"image": {"bytes": picture.getvalue(), "path": None}, "class_name": f"class {k}"} for k in range(2)]
    with (tmp_path / name / "dots.parquet").open("wb") as file:
        pd.DataFrame(rows).to_parquet(file)
    assert tr.open_dataset("dots:all", data_root=name, side=8).class_names == ("class 0", "class 1")
    assert (
        call("datasets", "prepare", "dots", f"--from={name}/dots.parquet", f"--data-root={name}", "--side", 8).exit_code
        == 0
    )
    assert tr.open_dataset("dots:all", data_root=name, side=8).class_names == ("class 0", "class 1")


@pytest.mark.parametrize("name", NAMES)
def test_a_training_may_have_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    words = [
        "train",
        "--learner",
        "regression-maml",
        "--modes",
        "sinusoid",
        "--save-every",
        1,
        "--meta-batch",
        1,
        f"--out={name}",
    ]
    for iterations in (1, 2):  # the second goes on from the first
        result = call(*words, "--iterations", iterations, "--device", "cpu")
        assert result.exit_code == 0, result.output
    assert tr.load_checkpoint(f"{name}/step-00000002.safetensors").step == 2
    assert call("convert", "--", f"{name}/step-00000002.safetensors", f"{name}.pt").exit_code == 0
    assert tr.load_checkpoint(f"{name}.pt").step == 2


def commands(group, names=()):
    """Every command, by its words."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        yield from (
            commands(command, (*names, name)) if isinstance(command, click.Group) else [((*names, name), command)]
        )


PATHS = {
    (*words, parameter.opts[-1] if isinstance(parameter, click.Option) else parameter.human_readable_name): (
        words,
        command,
        parameter,
    )
    for words, command in commands(main)
    for parameter in command.params
    if isinstance(parameter.type, click.Path)
}


@pytest.mark.parametrize("asked", PATHS, ids=" ".join)
def test_an_empty_path_is_not_the_current_folder(tmp_path, monkeypatch, asked):
    monkeypatch.chdir(tmp_path)
    words, command, empty = PATHS[asked]
    before = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    place = before.index(empty) if empty in before else None
    result = call(*words, *([f"{empty.opts[-1]}="] if place is None else ["x"] * place + [""]))
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: {asked[-1]} was given as an empty name")
    assert not list(tmp_path.iterdir())


def test_all_that_takes_a_file_or_folder_is_among_them():
    assert len(PATHS) > 25
    assert {asked[-1] for asked in PATHS} >= {
        "--out",
        "--output",
        "--data-root",
        "--config",
        "--from",
        "RUN...",
        "CHECKPOINT...",
    }


@pytest.mark.parametrize("name", [".", "..", "/", "x", "x.txt", "folder/"])
def test_a_figure_needs_a_name_that_tells_its_format(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for words in (["plot", "run", "--kind", "matrix"], ["datasets", "show", "strokes"]):
        result = call(*words, "-o", name)
        assert result.exit_code == 2
        [line] = result.stderr.splitlines()
        assert "a figure's name ends in .png, .pdf or .svg" in line
