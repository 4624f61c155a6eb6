"""What continuous integration runs is there: targets of the Makefile, files, options of the commands."""

import re
import shlex
import subprocess
import tomllib

import click
import pytest
import yaml

from tests.test_readme import ROOT
from transference.cli import main

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def jobs():
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text())["jobs"].items():
            yield pytest.param(job, id=f"{path.stem}-{name}")


def runs(job):
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("job", list(jobs()))
def test_a_job_runs_what_there_is(job):
    assert job["timeout-minutes"] <= 120
    for step in job["steps"]:
        assert ("run" in step) != ("uses" in step)
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1"))
    for words in map(shlex.split, runs(job)):
        if words[0] == "make":
            assert [word for word in words[1:] if "=" not in word and word not in TARGETS] == []
        for word in words:
            if word.startswith("tests/"):
                assert (ROOT / word).is_file()
        if "transference" in words[:3]:
            command, *options = words[words.index("transference") + 1 :]
            main.get_command(click.Context(main), command).make_context(command, options)


def test_matrices_fill_what_their_steps_ask_for():
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            matrix = job.get("strategy", {}).get("matrix", {})
            known = set(matrix) | {name for row in matrix.get("include", ()) for name in row}
            assert set(re.findall(r"matrix\.(\w+)", yaml.safe_dump(job))) <= known


def test_every_python_that_the_project_names_is_tried():
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text()
    tried = {version for version in re.findall(r'python(?:-version)?: "(\d\.\d+)"', text)}
    assert f">={min(tried, key=lambda version: int(version[2:]))}" == PROJECT["requires-python"]
    assert tried == {"3.11", "3.12", "3.13", "3.14"}


def test_hooks_run_targets():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"].split()[1] in TARGETS for hook in hooks] == [True]


def test_the_version_is_one_and_has_release_notes(tmp_path):
    """The release's own command finds them."""
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == PROJECT["version"]
    [release] = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"].values()
    [command] = [run for run in runs(release) if run.startswith("awk")]
    notes = subprocess.run(
        ["bash", "-c", command.partition(" > ")[0]], cwd=ROOT, env={"TAG": f"v{PROJECT['version']}", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert notes.startswith(f"## {PROJECT['version']}\n")
    assert notes.count("\n## ") == 0
    assert len(notes.splitlines()) > 10
