"""Weights of modes: their file, whose turn it is, and trainings with them."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import transference as tr
from meta_models import Training, train
from meta_models.training._turns import Turns
from tests.strangers import PixelPrototypes
from transference.cli import main
from transference.errors import UsageError
from transference.weights import parse_weights, read_weights, write_weights

MODES = ("strokes", "shapes", "textures")
SETTINGS = Training("stranger", modes=MODES, ways=3, shots=1, queries=2, meta_batch=4, lr=0.01)
WEIGHTS = st.lists(st.sampled_from([0, 0.1, 0.25, 0.3, 1, 2, 7, 1e-3]), min_size=1, max_size=6).filter(any)


@pytest.fixture(scope="module")
def tasks():
    return [tr.few_shot(f"{mode}:train", ways=3, shots=1, queries=2) for mode in MODES]


def trained(out, tasks, weights, iterations=6, **settings):
    training = replace(SETTINGS, weights=dict(zip(MODES, weights, strict=True)), **settings)
    return train(PixelPrototypes(), training, tasks, out=out, iterations=iterations, save_every=3)


def content(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("weight", [1, 0.1, 1 / 3, 1e-9, 12345.678])
@pytest.mark.parametrize("modes", [1, 2, 5])
def test_with_equal_weights_modes_alternate(modes, weight):
    assert Turns([weight] * modes).between(0, 40) == [(k % modes, k // modes) for k in range(40)]


@given(WEIGHTS, st.integers(1, 300))
def test_every_mode_has_its_share_to_within_a_task_for_each_other_mode(weights, n):
    seen = Counter(mode for mode, _ in Turns(weights).between(0, n))
    shares = np.array(weights) / sum(weights)
    assert all(abs(seen[mode] - n * share) < len(weights) for mode, share in enumerate(shares))
    assert not any(seen[mode] for mode, weight in enumerate(weights) if weight == 0)


@given(WEIGHTS, st.lists(st.integers(0, 2000), min_size=1, max_size=4))
def test_tasks_are_the_same_wherever_one_begins(weights, starts):
    asked_at_random, from_the_start = Turns(weights), Turns(weights).between(0, 2010)
    for start in starts:
        assert asked_at_random.between(start, start + 7) == from_the_start[start : start + 7]
        assert Turns(weights).between(start, start + 7) == from_the_start[start : start + 7]


def test_a_mode_meets_its_own_tasks_one_after_the_other():
    drawn = Turns([0.5, 0.2, 0.3]).between(0, 60)
    assert all([number for mode, number in drawn if mode == k] == list(range(n)) for k, n in enumerate((30, 12, 18)))


@pytest.mark.slow
@pytest.mark.parametrize("weight", [1.0, 0.1])
def test_a_training_with_equal_weights_is_the_one_without_byte_for_byte(tmp_path, tasks, weight):
    trained(tmp_path / "weighted", tasks, [weight] * 3)
    train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path / "plain", iterations=6, save_every=3)
    assert content(tmp_path / "weighted") == content(tmp_path / "plain")


@pytest.mark.slow
def test_a_weighted_training_that_was_stopped_goes_on_to_the_same_bytes(tmp_path, tasks):
    weights = [0.2, 0.7, 0.1]
    trained(tmp_path / "straight", tasks, weights)
    trained(tmp_path / "twice", tasks, weights, iterations=3)
    trained(tmp_path / "twice", tasks, weights)
    assert content(tmp_path / "twice") == content(tmp_path / "straight")


@pytest.mark.slow
def test_a_mode_of_weight_zero_is_as_if_it_were_not_there(tmp_path, tasks):
    (_, weighted) = trained(tmp_path / "weighted", tasks, [1, 0, 1])
    without = replace(SETTINGS, modes=("strokes", "textures"))
    some = [tasks[0], tasks[2]]
    (_, plain) = train(PixelPrototypes(), without, some, out=tmp_path / "plain", iterations=6, save_every=3)
    found, expected = tr.load_checkpoint(weighted), tr.load_checkpoint(plain)
    assert all((found.params[name] == value).all() for name, value in expected.params.items())
    assert found.training["weights"] == {"strokes": 1, "shapes": 0, "textures": 1}


@pytest.mark.slow
def test_a_folder_with_other_weights_is_another_training(tmp_path, tasks):
    trained(tmp_path, tasks, [1, 2, 3])
    before = content(tmp_path)
    with pytest.raises(UsageError, match="holds another training"):
        trained(tmp_path, tasks, [1, 2, 4])
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        ({"strokes": 1, "shapes": 1}, "none for textures"),
        ({"strokes": 1, "shapes": 1, "textures": 1, "birds": 1}, "birds is no mode here"),
        ({"strokes": 1, "shapes": -1, "textures": 1}, "that of shapes must be a finite number from 0 on"),
        ({"strokes": 1, "shapes": float("nan"), "textures": 1}, "that of shapes must be"),
        ({"strokes": 1, "shapes": float("inf"), "textures": 1}, "that of shapes must be"),
        ({"strokes": 0, "shapes": 0, "textures": 0}, "all of them zero"),
    ],
)
def test_weights_that_are_none_of_the_training_are_refused(weights, why):
    with pytest.raises(UsageError, match=why):
        replace(SETTINGS, weights=weights)


def test_a_combination_takes_no_weights_that_differ():
    pair = replace(SETTINGS, modes=("strokes", "shapes"), combine="pcgrad", weights={"strokes": 2, "shapes": 2})
    with pytest.raises(UsageError, match="pcgrad takes as many tasks of every mode"):
        replace(pair, weights={"strokes": 1, "shapes": 2})


@given(
    st.dictionaries(st.text(min_size=1).filter(str.isprintable), st.floats(0, 1e6), min_size=1).filter(
        lambda d: any(d.values())
    )
)
def test_a_file_of_weights_gives_them_back(tmp_path_factory, weights):
    file = tmp_path_factory.getbasetemp() / "weights.toml"
    write_weights(file, weights, {"rule": 'a "rule"\nof two lines'})
    assert read_weights(file) == weights


@pytest.mark.parametrize(
    "text",
    [
        "strokes = 1",
        "[weights]\nstrokes = 'much'",
        "[weights]\nstrokes = -1",
        "[weights]\nstrokes = nan",
        "[weights]\nstrokes = true",
        "[weight]\nstrokes = 1",
        "weights = 3",
        "[weights",
    ],
)
def test_a_file_that_is_none_of_weights_is_told_in_one_line(tmp_path, text):
    (tmp_path / "weights.toml").write_text(text)
    with pytest.raises(
        UsageError, match=r"weights.toml is no file of weights \(.*\)\. Write a line for each mode"
    ) as told:
        read_weights(tmp_path / "weights.toml")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", ["", "strokes", "=1", "strokes=", "strokes=x", "strokes=nan", "strokes=1,shapes"])
def test_a_text_that_is_none_of_weights_is_refused(text):
    if text:
        with pytest.raises(UsageError, match="is no weight of a mode"):
            parse_weights(text)
    else:
        assert parse_weights(text) == {}
    assert parse_weights("mix[a+b]=1, strokes = .5") == {"mix[a+b]": 1, "strokes": 0.5}


@pytest.mark.slow
def test_the_command_takes_weights_as_text_or_file(tmp_path):
    words = [
        "train",
        "--learner",
        "regression-maml",
        "--modes",
        "sinusoid,abs",
        "--iterations",
        "2",
        "--meta-batch",
        "4",
    ]
    write_weights(tmp_path / "w.toml", {"abs": 3, "sinusoid": 1})
    for name, weights in (("text", "sinusoid=1,abs=3"), ("file", str(tmp_path / "w.toml"))):
        told = CliRunner().invoke(main, [*words, "--weights", weights, "--out", str(tmp_path / name)])
        assert told.exit_code == 0, told.output
    checkpoints = [tr.load_checkpoint(tmp_path / name / "step-00000002.safetensors") for name in ("text", "file")]
    assert checkpoints[0].digest == checkpoints[1].digest
    for weights in ("nowhere.toml", "sinusoid=1", "sinusoid=1,abs=-3"):
        told = CliRunner().invoke(main, [*words, "--weights", weights, "--out", str(tmp_path / "none")])
        assert told.exit_code == 2
        assert told.stderr.startswith("error: ")
        assert told.stderr.count("\n") == 1
    assert not (tmp_path / "none").exists()
