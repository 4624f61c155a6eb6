import json
import subprocess
import sys

import pytest
import torch

import transference as tr
from transference.errors import DataError, UsageError
from transference.samplers import FewShotName, reopen_tasks, sampler_digest

GOLDEN = {
    0: [
        ["strokes-072", "strokes-076", "strokes-067"],
        ["strokes-072-16", "strokes-076-16", "strokes-067-11"],
        ["strokes-072-25", "strokes-072-24", "strokes-076-06", "strokes-076-05", "strokes-067-15", "strokes-067-13"],
    ],
    7: [
        ["strokes-066", "strokes-070", "strokes-069"],
        ["strokes-066-25", "strokes-070-21", "strokes-069-29"],
        ["strokes-066-13", "strokes-066-06", "strokes-070-15", "strokes-070-13", "strokes-069-20", "strokes-069-15"],
    ],
    12345: [
        ["strokes-066", "strokes-073", "strokes-070"],
        ["strokes-066-25", "strokes-073-29", "strokes-070-02"],
        ["strokes-066-15", "strokes-066-08", "strokes-073-14", "strokes-073-11", "strokes-070-10", "strokes-070-22"],
    ],
}
"""Class names, support and query images of three tasks: a change here changes every measurement ever made."""

ASK = """
import json, sys, transference as tr
tasks = tr.few_shot("strokes:val", ways=3, shots=1, queries=2, seed=5)
records = {i: tasks.describe(i) for i in (0, 7, 12345)}
print(json.dumps({i: [r.class_names, r.support_ids, r.query_ids] for i, r in records.items()}))
"""


def ask(hash_seed):
    out = subprocess.run(
        [sys.executable, "-c", ASK], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": hash_seed}
    )
    return {int(index): record for index, record in json.loads(out.stdout).items()}


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["0", "42"])
def test_golden_tasks_in_fresh_processes(hash_seed):
    assert ask(hash_seed) == GOLDEN


def test_order_of_asking_does_not_matter(strokes):
    tasks = tr.FewShot(strokes, ways=3, shots=1, queries=2)
    forwards = [tasks[i].query_x for i in range(5)]
    backwards = [tasks[i].query_x for i in reversed(range(5))]
    assert all(torch.equal(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))


def test_support_and_query_share_no_image_and_labels_fit(strokes):
    tasks = tr.FewShot(strokes, ways=5, shots=2, queries=3, seed=1)
    for index in range(20):
        episode, record = tasks[index], tasks.describe(index)
        assert len(set(record.support_ids) | set(record.query_ids)) == 5 * (2 + 3)
        assert len(set(record.class_names)) == 5
        for ids, labels in ((record.support_ids, episode.support_y), (record.query_ids, episode.query_y)):
            assert [
                record.class_names[y] == image[: len("strokes-000")]
                for image, y in zip(ids, labels.tolist(), strict=True)
            ] == [True] * len(ids)
        row = strokes.image_ids.index(record.query_ids[0])
        assert torch.equal(episode.query_x[0], strokes.images[row].float() / 255)


def test_the_task_does_not_depend_on_the_side():
    small, large = (tr.few_shot("shapes:val", ways=3, shots=1, queries=2, side=side) for side in (28, 40))
    assert small.describe(4) == large.describe(4)
    assert large[4].query_x.shape == (6, 3, 40, 40)


def test_every_part_of_the_name_changes_the_tasks(strokes):
    base = {"ways": 3, "shots": 1, "queries": 2, "seed": 0}
    ids = {tr.FewShot(strokes, **base).describe(0).query_ids}
    for change in ({"ways": 4}, {"shots": 2}, {"queries": 3}, {"seed": 1}):
        ids.add(tr.FewShot(strokes, **{**base, **change}).describe(0).query_ids)
    assert len(ids) == 5


def test_a_name_parses_back(strokes):
    tasks = tr.FewShot(strokes, ways=3, shots=1, queries=2, seed=9)
    assert FewShotName.parse(tasks.name) == tasks.identity
    with pytest.raises(UsageError, match="looks like omniglot:train/5-way"):
        FewShotName.parse("omniglot")


def test_classes_are_drawn_evenly(strokes):
    tasks = tr.FewShot(strokes, ways=2, shots=1, queries=1)
    seen = [name for i in range(800) for name in tasks.describe(i).class_names]
    counts = [seen.count(name) for name in strokes.class_names]
    assert min(counts) > 60
    assert max(counts) < 145  # 100 expected of each of 16


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"ways": 17}, "16 classes, but 17 ways were asked for"),
        ({"shots": 20, "queries": 15}, "need 35 images a class, but 16 of 16 classes have fewer"),
        ({"queries": 31}, "the least has 30"),
    ],
)
def test_too_small_a_dataset_is_refused(strokes, shape, message):
    with pytest.raises(DataError, match=message):
        tr.FewShot(strokes, **shape)


def test_numbers_out_of_range_are_refused(strokes):
    with pytest.raises(UsageError, match="0 ways"):
        tr.FewShot(strokes, ways=0)
    with pytest.raises(IndexError, match="numbered from 0"):
        tr.FewShot(strokes)[-1]


def test_a_stranger_is_known_by_its_first_episode():
    class Constant:
        name = "constant"

        def __init__(self, value):
            self.value = value

        def __getitem__(self, index):
            x = torch.full((2, 1), self.value)
            return tr.Episode(x, x, x, x)

    assert sampler_digest(Constant(1.0)) == sampler_digest(Constant(1.0)) != sampler_digest(Constant(2.0))


def test_rotation_turns_all_images_of_a_class_alike(strokes):
    plain, turned = (
        tr.FewShot(strokes, ways=5, shots=2, queries=3, seed=1, rotated=rotated) for rotated in (False, True)
    )
    seen = []
    for index in range(30):
        a, b = plain[index], turned[index]
        assert torch.equal(a.query_y, b.query_y)
        for label in range(5):
            before, after = (
                torch.cat([e.support_x[e.support_y == label], e.query_x[e.query_y == label]]) for e in (a, b)
            )
            (turns,) = [k for k in range(4) if torch.equal(torch.rot90(before, k, (2, 3)), after)]
            seen.append(turns)
    counts = [seen.count(k) for k in range(4)]
    assert min(counts) > 20, f"150 turns, each of the four expected 37.5 times: {counts}"


def test_rotated_tasks_have_a_name_of_their_own_that_parses_back(strokes):
    turned = tr.FewShot(strokes, rotated=True)
    assert turned.name.endswith("/seed-0/rotated")
    assert FewShotName.parse(turned.name) == turned.identity != tr.FewShot(strokes).identity
    assert torch.equal(turned[4].query_x, tr.FewShot(strokes, rotated=True)[4].query_x)


def test_functions_are_not_rotated():
    with pytest.raises(UsageError, match="linear is a family of functions, which cannot be rotated"):
        tr.open_tasks("linear:train", rotated=True)


def test_a_sampler_is_opened_again_by_its_name():
    for sampler in (
        tr.few_shot("strokes:val", ways=3, shots=2, queries=4, seed=5, rotated=True),
        tr.open_tasks("abs:val", shots=3, queries=2),
    ):
        again = reopen_tasks(sampler.name)
        assert again.name == sampler.name
        assert torch.equal(again[3].support_x, sampler[3].support_x)
    noisy = tr.FunctionFamily("linear", noise=0.0, seed=2)
    assert torch.equal(reopen_tasks(noisy.name)[1].query_y, noisy[1].query_y)
    with pytest.raises(tr.TransferenceError, match="from a sampler that this package does not have"):
        reopen_tasks("my-own/7")
