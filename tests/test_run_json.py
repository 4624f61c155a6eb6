"""run.json as somebody may have written or cut it: one line that names the setting, soon; never a traceback."""

import copy
import hashlib
import json
import time

import pytest
from click.testing import CliRunner

import transference as tr
from tests.strangers import PixelPrototypes
from transference.cli import main
from transference.errors import StoreError
from transference.plain import read_json


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    learner = PixelPrototypes()
    tasks = [
        tr.FewShot(tr.open_dataset(f"{name}:val"), ways=3, shots=1, queries=2, seed=0) for name in ("strokes", "shapes")
    ]
    out = tmp_path_factory.mktemp("run_json") / "run"
    return tr.measure(
        learner,
        tr.Checkpoint(learner.init_params(0), 10),
        *tasks,
        out=out,
        n_source=2,
        n_target=2,
        lookahead=tr.SGD(0.1),
        controls=1,
    )


@pytest.fixture
def run(measured):
    """A run whose run.json may be altered."""
    kept = (measured.path / "run.json").read_bytes()
    yield measured
    (measured.path / "run.json").write_bytes(kept)


def write_spec(run, change):
    """Change the spec, and compute its digest anew."""
    about = copy.deepcopy(run.about())
    change(about["spec"])
    about["digest"] = hashlib.blake2b(json.dumps(about["spec"], sort_keys=True).encode(), digest_size=16).hexdigest()
    (run.path / "run.json").write_text(json.dumps(about))


def put(place, value):
    """A change of one value; the place is written as in the messages, with dots."""
    *way, last = [int(part) if part.isdecimal() else part for part in place.split(".")]

    def change(spec):
        inside = spec
        for part in way:
            inside = inside[part]
        inside[last] = value

    return change


def refusal(run):
    with pytest.raises(StoreError) as refused:
        tr.open_run(run.path)
    message = str(refused.value)
    assert "run.json" in message
    assert "\n" not in message
    assert len(message) < 1000
    return message


WRONG = [
    ("sources.0.n", 10**18), ("sources.0.n", -5), ("sources.0.n", 0), ("sources.0.n", "12"), ("sources.0.n", None), ("sources.0.n", 2.0),
    ("sources.0.n", True), ("sources.0.n", [2]), ("sources.0.sampler", 7), ("sources.0.digest", None), ("sources", []), ("sources", {}),
    ("sources", ["x"]), ("targets.0", None), ("tile", [0, 0]), ("tile", [1]), ("tile", [-1, 1]), ("tile", ["1", 1]), ("tile", 3),
    ("replicates", 10**9), ("replicates", 0), ("replicates", 1.5), ("lookahead.alpha", "x"), ("lookahead.alpha", []),
    ("lookahead.alpha", [float("nan")]), ("lookahead.alpha", [float("inf")]), ("lookahead.alpha", [-1.0]), ("lookahead.alpha", ["x"]),
    ("lookahead.alpha", [10**400]), ("lookahead.alpha", [0.1] * 20_000), ("lookahead", [1]), ("lookahead.kind", 1), ("estimator", None),
    ("estimator.kind", ["exact"]), ("estimator.estimates", "no"), ("estimator.exact_at", [0.123]), ("estimator.exact_at", 0.1),
    ("estimator.exact_at", ["x"]),
    ("learner", ["x"]), ("learner.class", None), ("checkpoints", []), ("checkpoints.0.step", "../../x"),
    ("checkpoints.0.step", -1), ("checkpoints.0.step", 2**70), ("checkpoints.0.digest", 3), ("controls", -1), ("controls", "x"),
    ("precision", "fp16"), ("precision", ["fp32"]), ("device", 0),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value"), WRONG, ids=lambda x: str(x)[:20])
def test_a_value_of_another_kind_or_size_is_named(run, place, value):
    write_spec(run, put(place, value))
    named = [part for part in place.split(".") if not part.isdecimal()]
    assert all(part in refusal(run) for part in named)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec["sources"][0].update(n=2**31 - 1), "at most 1,000,000"),
        (
            lambda spec: spec.update(replicates=2**15 - 1, tile=[1, 1]) or spec["sources"][0].update(n=1000),
            "at most 1,000,000",
        ),
        (lambda spec: spec["sources"].append(spec["sources"][0]), "twice"),
        (lambda spec: spec["checkpoints"].append(spec["checkpoints"][0]), "twice"),
        (lambda spec: spec["checkpoints"].append({"step": 5, "digest": "x"}), "order of their steps"),
        (lambda spec: spec["lookahead"].update(alpha=[0.1, 0.1]), "twice"),
        (lambda spec: spec.update(anything=1), "anything"),
        (lambda spec: spec["sources"][0].update(anything=1), "anything"),
        (lambda spec: spec.pop("controls"), "has no controls"),
        (lambda spec: spec["targets"][0].pop("digest"), "has no digest"),
    ],
)
def test_a_spec_that_no_run_has_is_refused(run, change, message):
    write_spec(run, change)
    assert message in refusal(run)


@pytest.mark.parametrize(
    "change",
    [
        {"command": ["a", 1]}, {"command": "x"}, {"versions": [1]}, {"versions": {"torch": 2}}, {"threads": "8"}, {"threads": 10**9},
        {"threads": 0}, {"checkpoints": {}}, {"checkpoints": [1]}, {"checkpoints": [{"training": [1]}]},
        {"checkpoints": [{"learner": ["x"]}]}, {"trial": [1]}, {"device": {}}, {"python": 3}, {"digest": 7}, {"spec": [1]}, {"format": 3},
    ],
    ids=str,
)  # fmt: skip
def test_what_stands_beside_the_spec_is_checked_too(run, change):
    about = {**run.about(), **change}
    (run.path / "run.json").write_text(json.dumps(about))
    assert next(iter(change)) in refusal(run)


def test_a_folder_of_a_later_version_is_told(run):
    (run.path / "run.json").write_text(json.dumps({**run.about(), "format": "transference-run/9"}))
    assert "Upgrade transference" in refusal(run)


DAMAGED = {
    "empty": b"",
    "list": b"[]",
    "number": b"7",
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"spec":' * 5_000 + b"1" + b"}" * 5_000,
    "rather deep": b'{"digest": "", "spec": ' + b"[" * 300 + b"]" * 300 + b"}",
    "UTF-16": "{}".encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "no UTF-8": bytes([255, 254, 128]),
    "long number": b'{"digest": "", "spec": ' + b"9" * 100_000 + b"}",
    "a key twice": b'{"digest": "a", "digest": "b", "spec": {}}',
    "millions": b"[" + b"1," * 10_000_000 + b"1]",
    "cut": b'{"digest": "a", "sp',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused_soon(run, content):
    (run.path / "run.json").write_bytes(content)
    began = time.monotonic()
    assert "is damaged" in refusal(run)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("change", [put("sources.0.n", 10**12), put("tile", [0, 0]), put("estimator", None)])
@pytest.mark.parametrize("command", ["summary", "verify", "export", "report"])
def test_every_command_says_it_in_one_line(run, tmp_path, change, command):
    write_spec(run, change)
    ends = {"export": [str(tmp_path / "x.csv")], "report": ["-o", str(tmp_path / "x.html")]}
    done = CliRunner().invoke(main, [command, str(run.path), *ends.get(command, [])])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("labelled", [True, False])
def test_a_larger_table_than_there_is_takes_no_memory(run, labelled):
    """Tiles as large as the spec says would be made before anything else is looked at."""
    write_spec(run, lambda spec: (spec["sources"][0].update(n=2**31 - 1), spec.update(tile=[2**31 - 1, 2])))
    if not labelled:
        about = json.loads((run.path / "run.json").read_text())
        del about["format"]
        (run.path / "run.json").write_text(json.dumps(about))
    opened = tr.open_run(run.path)
    for read in (opened.matrix, opened.pairs, opened.tasks, lambda: next(opened.blocks())):
        with pytest.raises(StoreError):
            read()
    assert tr.verify(run.path).problems


def test_a_spec_is_read_as_it_was_written(run):
    assert tr.RunSpec.from_json(run.spec.to_json()) == run.spec
    assert tr.RunSpec.from_json(run.spec.to_json()).digest == run.spec.digest


def test_json_is_read_in_time_that_grows_with_its_length():
    keys = json.dumps({str(k): k for k in range(200_000)})
    began = time.monotonic()
    with pytest.raises(ValueError, match="'7' twice"):
        read_json(keys[:-1] + ', "7": 1}')
    assert time.monotonic() - began < 5
    assert read_json(keys)["7"] == 7
