"""Source modes ranked by what they do to one target mode: how they are told apart, and the command that prints it."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from scipy.stats import t
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

import transference as tr
from tests.strangers import PixelPrototypes
from transference.cli import main
from transference.cli.choose import NOT_SHOWN
from transference.errors import UsageError
from transference.statistics import compare_modes, rank_modes
from transference.statistics._ranking import holm
from transference.weights import read_weights

NORMAL, SKEWED = "standard_normal", "standard_exponential"


def block(logs, mode="a", **about):
    return tr.Block.of(np.exp(logs), source_mode=mode, target_mode="t", checkpoint_step=1, alpha=0.1, **about)


def modes_drawn(random, sizes, n_target, kind=NORMAL, *, own=0.01, means=None):
    """Log ratios of modes of so many sources on the same targets, which have something of their own for each mode."""
    effects = lambda *shape: getattr(random, kind)(shape) - (kind == SKEWED)
    common = 0.015 * effects(1, n_target)
    return [
        block(
            mean + 0.01 * effects(size, 1) + common + own * effects(1, n_target) + 0.02 * effects(size, n_target),
            f"mode {k}",
        )
        for k, (size, mean) in enumerate(zip(sizes, means or [0.0] * len(sizes), strict=True))
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "n_target", "kind", "own"),
    [
        ((12, 12, 12), 10, NORMAL, 0.01),
        ((12, 12, 12), 10, SKEWED, 0.03),
        ((40, 6, 20), 20, NORMAL, 0.01),
        ((30, 30, 30, 30), 8, NORMAL, 0.03),
    ],
)
def test_modes_that_do_not_differ_are_told_apart_in_five_percent_of_tables_at_most(sizes, n_target, kind, own):
    random = np.random.default_rng(7)
    tables = [compare_modes(modes_drawn(random, sizes, n_target, kind, own=own)) for _ in range(300)]
    wrong = np.mean([found["told_apart"].any() for found in tables])
    assert wrong <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    missed = np.mean([(found["low"] > 1) | (found["high"] < 1) for found in tables])
    assert missed <= 0.075
    # Neither too narrow nor far too wide: single comparisons are in error about as often as they may be.
    assert missed >= 0.008


def test_a_mode_that_differs_by_far_is_told_apart_and_the_others_are_not():
    random = np.random.default_rng(1)
    for _ in range(30):
        found = rank_modes(modes_drawn(random, (20, 20, 20), 20, means=[0.0, -0.2, 0.0]))
        first, *others = found.itertuples()
        assert (first.rank, first.source_mode, first.not_apart) == (1, "mode 1", [])
        assert all(1 not in other.not_apart for other in others)


def test_what_targets_do_to_all_modes_alike_does_not_hide_a_difference():
    random = np.random.default_rng(2)
    hard = 3.0 * random.standard_normal((1, 12))
    tables = [
        block(hard + mean + 0.01 * random.standard_normal((15, 12)), mode) for mode, mean in (("a", 0), ("b", 0.05))
    ]
    found = rank_modes(tables).set_index("source_mode")
    assert found.loc["a", "high"] > found.loc["b", "low"], "each by itself is hardly known"
    assert found.loc["a", "not_apart"] == []
    [pair] = compare_modes(tables).itertuples()
    assert pair.low < np.exp(-0.05) < pair.high
    assert pair.high - pair.low < 0.05


def test_a_perfect_tie_is_not_told_apart():
    logs = np.random.default_rng(3).standard_normal((6, 5))
    found = rank_modes([block(logs, "a"), block(logs, "b"), block(logs + 9, "c")])
    assert found["source_mode"].tolist() == ["a", "b", "c"]
    assert found["not_apart"].tolist() == [[2], [1], []]
    flat = compare_modes([block(np.zeros((4, 3)), "a"), block(np.zeros((4, 3)), "b"), block(np.ones((4, 3)), "c")])
    assert flat["p"].fillna(-1).tolist() == [1.0, -1, -1]
    assert not flat["told_apart"].any()
    assert flat["note"].tolist() == ["all tasks differ alike, which tells nothing of other tasks"] * 3


def of_rest(logs):
    """The mean square of what rows and columns leave, by statsmodels."""
    rows, columns = (axis.ravel() for axis in np.indices(logs.shape))
    cells = pd.DataFrame({"x": logs.ravel(), "i": rows, "j": columns})
    return anova_lm(ols("x ~ C(i) + C(j)", cells).fit()).loc["Residual", "mean_sq"]


@pytest.mark.parametrize("effects", [0.0, 1.0])
def test_the_error_is_what_the_analysis_of_variance_says(effects):
    spread = lambda means: means.var(ddof=1) / len(means)
    for seed in range(6):  # of noise alone, what is shared often comes out below nothing
        random = np.random.default_rng(seed)
        one, other = (
            effects * random.standard_normal((n, 1))
            + effects * random.standard_normal((1, 5))
            + random.standard_normal((n, 5))
            for n in (4, 3)
        )
        sources, targets = (
            spread(one.mean(axis=1)) + spread(other.mean(axis=1)),
            spread(one.mean(axis=0) - other.mean(axis=0)),
        )
        variance = max(sources + targets - of_rest(one) / one.size - of_rest(other) / other.size, sources, targets)
        [found] = compare_modes([block(one), block(other, "b")]).itertuples()
        difference, error = one.mean() - other.mean(), np.sqrt(variance)
        assert found.value == pytest.approx(np.exp(difference))
        assert np.log([found.low, found.high]) == pytest.approx(difference + t.ppf([0.025, 0.975], 2) * error)
        assert found.p == pytest.approx(2 * t.sf(abs(difference) / error, 2))


@pytest.mark.slow
@pytest.mark.parametrize("n", [6, 20])
@pytest.mark.parametrize("design", ["others", "the targets", "shared", "one source"])
def test_the_error_is_that_of_another_draw_of_tasks(n, design):
    random = np.random.default_rng(n)
    squares, differences, wrong = [], [], []
    for _ in range(400):
        source, target, own = (0.02 * random.standard_normal((n, 1)) for _ in range(3))
        rest = lambda rows: 0.02 * random.standard_normal((rows, n))
        as_one = {"the targets": target, "one source": 0.0}.get(design, source)
        one = as_one + target.T + rest(1 if design == "one source" else n)
        other = (source if design == "shared" else 0.02 * random.standard_normal((15, 1))) + (target + 0.5 * own).T
        other = other + rest(len(other))
        tables = [block(one, same_tasks=design == "the targets"), block(other, "b")]
        [found] = compare_modes(tables, shared=[["a", "b"]] if design == "shared" else []).itertuples()
        df = min(n, len(other)) - 1
        squares.append(((np.log(found.high) - np.log(found.low)) / 2 / t.ppf(0.975, df)) ** 2)
        differences.append(np.log(found.value))
        wrong.append(found.p <= 0.05)
    assert np.mean(squares) == pytest.approx(np.var(differences), rel=0.25)
    assert 0.015 <= np.mean(wrong) <= 0.085


def test_modes_of_the_same_tasks_are_compared_task_by_task():
    random = np.random.default_rng(6)
    task, rest = random.standard_normal((9, 1)), lambda: 0.01 * random.standard_normal((9, 8))
    tables = [block(task + rest(), "p[a]"), block(task + 0.05 + rest(), "p[b]")]
    assert not compare_modes(tables)["told_apart"].item()
    assert compare_modes(tables, shared=[["p[a]", "p[b]"]])["told_apart"].item()
    with pytest.raises(UsageError, match="of which they have 9 and 8"):
        compare_modes([tables[0], block(np.zeros((8, 8)), "p[b]")], shared=[["p[a]", "p[b]"]])


def test_of_replicates_the_mean_is_ranked():
    random = np.random.default_rng(8)
    logs = random.standard_normal((2, 3, 5, 4))
    logs[0, 1, 2, 3] = np.nan
    with_replicates = [
        block(first, mode, redrawn=[np.exp(again) for again in others])
        for mode, (first, *others) in zip("ab", logs, strict=True)
    ]
    means = [block(np.nanmean(one, axis=0), mode) for mode, one in zip("ab", logs, strict=True)]
    found, expected = rank_modes(with_replicates), rank_modes(means)
    assert found["geometric_mean"].to_numpy() == pytest.approx(expected["geometric_mean"].to_numpy())
    assert found["low"].to_numpy() == pytest.approx(expected["low"].to_numpy())


def test_each_target_is_ranked_by_itself_and_a_mode_without_a_ratio_is_last():
    random = np.random.default_rng(9)
    logs = random.standard_normal((4, 5))
    tables = [block(np.full((4, 5), np.nan), "none"), block(logs, "a"), block(logs - 5, "b")]
    other = [
        tr.Block.of(np.exp(-logs), source_mode=mode, target_mode="u", checkpoint_step=1, alpha=0.1) for mode in "ab"
    ]
    found = rank_modes([*tables, *other])
    assert found["target_mode"].tolist() == ["t", "t", "t", "u", "u"]
    assert found["source_mode"].tolist() == ["b", "a", "none", "a", "b"]
    assert found["rank"].tolist() == [1, 2, 3, 1, 2]
    assert found["not_apart"].tolist() == [[3], [3], [1, 2], [2], [1]]
    assert found.loc[2, ["n", "failed", "note"]].tolist() == [0, 20, "no pair has a ratio"]
    assert len(compare_modes([*tables, *other])) == 3 + 1
    assert compare_modes([tables[1]]).empty
    with pytest.raises(UsageError, match="on t, of which they have 5 and 4 tasks"):
        rank_modes([tables[1], block(logs[:, :4], "b")])


@pytest.mark.parametrize("n", [1, 2, 10])
def test_p_values_are_corrected_as_holm_says(n):
    p = np.random.default_rng(n).uniform(0, 0.2, n)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_a_comparison_that_cannot_be_made_counts_all_the_same():
    assert holm(np.array([np.nan, 0.01, 0.04])) == pytest.approx([np.nan, 0.03, 0.08], nan_ok=True)
    assert holm(np.empty(0)).size == 0


# The command


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three source modes, one of them the target's own, and a combination of them; two step sizes and replicates."""
    return measured(tmp_path_factory.mktemp("ranked") / "run", combine={"sum": tr.Sum()}, replicates=2)


class NamedPrototypes(PixelPrototypes):
    """The same of tensors by name, those of a task whichever they are."""

    def init_params(self, seed):
        generator = torch.Generator().manual_seed(seed)
        return {name: torch.randn(16, 4, generator=generator) for name in "ab"}

    def episode_loss(self, params, episode):
        embed = lambda parts: torch.tanh(sum(x.flatten(1) @ params[name] for name, x in parts.items()))
        support, query = embed(episode.support_x), embed(episode.query_x)
        prototypes = torch.stack([support[episode.support_y == k].mean(dim=0) for k in range(3)])
        return F.cross_entropy(-torch.cdist(query, prototypes), episode.query_y)


def measured(
    out, modes=("strokes:val", "shapes:val", "textures:val"), targets=("shapes:test",), learner=None, **settings
):
    learner = learner or PixelPrototypes()
    tasks = [
        [tr.open_tasks(mode, ways=3, shots=1, queries=2, seed=seed) for mode in some]
        for seed, some in enumerate((modes, targets))
    ]
    checkpoint = tr.Checkpoint(learner.init_params(0), step=10)
    given = {
        "n_source": 5,
        "n_target": 4,
        "lookahead": tr.SGD((0.01, 0.1)),
        "estimator": tr.Exact("loop"),
        "controls": 0,
    }
    tr.measure(learner, checkpoint, *tasks, out=out, **given | settings)
    return out


def call(*words):
    return CliRunner().invoke(main, ["choose", *map(str, words)])


def refused(told, exit_code, *parts):
    assert (told.exit_code, told.stdout) == (exit_code, "")
    assert told.stderr.startswith("error: ")
    assert told.stderr.count("\n") == 1
    for part in parts:
        assert part in told.stderr


@pytest.fixture
def words(run):
    return [run, "--target", "shapes", "--alpha", 0.1]


def test_what_a_rank_does_not_say_stands_above_all_that_the_command_says(words, tmp_path):
    assert call(*words).stdout.startswith(NOT_SHOWN)
    assert next(iter(json.loads(call(*words, "--json").stdout).items())) == ("note", NOT_SHOWN)
    assert call(*words, "--k", 1, "--out", tmp_path / "w.toml").exit_code == 0
    assert NOT_SHOWN in (tmp_path / "w.toml").read_text()
    told = " ".join(call("--help").stdout.split())
    assert NOT_SHOWN in told
    assert "recommend" not in told + call(*words).stdout


def test_the_ranking_is_that_of_the_table(run, words):
    told = json.loads(call(*words, "--json").stdout)
    blocks = [
        block
        for block in tr.open_run(run).blocks()
        if block.alpha == 0.1 and block.source_mode in ("strokes", "shapes", "textures")
    ]
    logs = {block.source_mode: np.log([block.loss_ratio, *block.redrawn]).mean() for block in blocks}
    assert [row["source_mode"] for row in told["ranking"]] == sorted(logs, key=logs.get)
    assert [row["rank"] for row in told["ranking"]] == [1, 2, 3]
    for row in told["ranking"]:
        assert row["geometric_mean"] == pytest.approx(np.exp(logs[row["source_mode"]]))
        assert row["low"] < row["geometric_mean"] < row["high"]
        assert row["own"] == (row["source_mode"] == "shapes")
    assert told["left_out"] == ["sum"]
    assert (told["estimated"], told["replicates"], set(told["episode"])) == (False, 2, set(logs))
    ranks = {row["source_mode"]: row["rank"] for row in told["ranking"]}
    assert len(told["pairs"]) == 3
    for pair in told["pairs"]:
        one, other = (
            next(row for row in told["ranking"] if row["source_mode"] == pair[name])
            for name in ("source_mode", "other_mode")
        )
        assert (
            (ranks[pair["other_mode"]] in one["not_apart"])
            == (not pair["told_apart"])
            == (one["rank"] in other["not_apart"])
        )


def test_the_text_says_what_is_ranked_and_what_is_not(run, words, tmp_path):
    told = call(*words).stdout
    for part in (
        "Source modes on shapes, by mean log loss ratio, checkpoint 10, α = 0.1:",
        "shapes (the target's own)",
        "Of 3 of these pairs: 4 tasks on the smallest side are few.",
        "In brackets 95 % intervals for another draw of sources and targets.",
        "corrected (Holm) for the number of pairs, 3.",
        "is the draw of the episodes of 1 shot; ranked are means over 2 replicates",
        "Left out, since they are rows of no single mode: sum.",
    ):
        assert part in told
    assert "Estimates" not in told
    row = json.loads(call(*words, "--json").stdout)["ranking"][0]
    assert f"20 {row['geometric_mean']:.4f} [{row['low']:.4f}, {row['high']:.4f}]" in told
    single = measured(tmp_path / "single", estimator=tr.FirstOrder(engine="loop"), lookahead=tr.SGD(0.1))
    told = call(single, "--target", "shapes").stdout
    assert "Noise: one replicate, so a task is the one episode of 1 shot that was drawn of it" in told
    assert "--replicates, or more shots" in told
    assert "Estimates (firstorder): transference summary tells how far they can be trusted." in told


def test_the_first_k_have_a_weight_and_an_arbitrary_boundary_is_told(words, tmp_path):
    ranked = [row["source_mode"] for row in json.loads(call(*words, "--json").stdout)["ranking"]]
    told = call(*words, "--k", 2, "--out", tmp_path / "w.toml")
    assert told.exit_code == 0, told.output
    assert told.stdout.endswith(f"{tmp_path / 'w.toml'}\n")
    assert read_weights(tmp_path / "w.toml") == {ranked[0]: 1, ranked[1]: 1, ranked[2]: 0}
    rows = json.loads(call(*words, "--json").stdout)["ranking"]
    apart = 3 not in rows[1]["not_apart"]
    assert ("boundary is arbitrary" in told.stdout) == (not apart)
    assert "All modes have the same weight" in call(*words, "--k", 3).stdout


def made_up(monkeypatch, *means, spread=1.0):
    """Let the command find modes whose log ratios have these means, whatever the run says."""
    from transference.store import Run

    blocks = Run.blocks

    def found(self, step=None):
        random, by_mode = np.random.default_rng(0), iter(means)
        for block in blocks(self, step):
            if block.alpha == 0.1 and block.combination is None:
                logs = next(by_mode) + 0.001 * spread * random.standard_normal(block.shape)
                yield replace(block, loss_ratio=np.exp(logs), redrawn=())
            else:
                yield block

    monkeypatch.setattr(Run, "blocks", found)


def test_which_modes_of_the_boundary_cannot_be_told_apart_is_told_by_name(words, monkeypatch):
    made_up(monkeypatch, -0.3, 0.1, 0.1)
    told = call(*words, "--k", 2).stdout
    first, second = sorted(["shapes", "textures"], key=told.index)
    assert (
        f"{first}, the last with a weight, cannot be told apart from {second} without one: the boundary is arbitrary."
        in told
    )
    assert f"With a weight, that do not lower the mean log loss: {first}." in told
    assert "cannot be told that they lower the loss" not in told
    assert "boundary" not in call(*words, "--k", 1).stdout
    made_up(monkeypatch, -1e-6, -1e-6, 0.1)
    told = call(*words, "--k", 1).stdout
    assert re.search(r"With a weight, of which it cannot be told that they lower the loss: (strokes|shapes)\.", told)


def test_a_budget_is_dealt_out_among_modes_that_lower_the_loss(words, monkeypatch, tmp_path):
    made_up(monkeypatch, -0.3, 0.2, -0.1, spread=0.0)
    for budget, expected in ((7, (5, 0, 2)), (4, (3, 0, 1)), (1, (1, 0, 0)), (400, (300, 0, 100))):
        assert call(*words, "--budget", budget, "--out", tmp_path / "w.toml", "--force").exit_code == 0
        weights = read_weights(tmp_path / "w.toml")
        assert tuple(weights[mode] for mode in ("strokes", "shapes", "textures")) == expected, budget
    assert [row["weights"] for row in [json.loads(call(*words, "--budget", 4, "--json").stdout)]] == [
        {"strokes": 3, "textures": 1, "shapes": 0}
    ]


def test_where_every_mode_raises_the_loss_nothing_is_written(words, monkeypatch, tmp_path):
    made_up(monkeypatch, 0.3, 0.2, 0.1)
    told = call(*words, "--budget", 4, "--out", tmp_path / "w.toml")
    assert told.exit_code == 1
    assert told.stdout.startswith(NOT_SHOWN)
    assert told.stderr.startswith("error: No mode has a weight, and none was written: no source mode lowers")
    assert told.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_single_tasks_are_ranked_given_their_episodes(run, words):
    told = json.loads(call(*words, "--sources", "strokes", "--sources", "shapes", "--json").stdout)
    [mine] = [block for block in tr.open_run(run).blocks() if block.alpha == 0.1 and block.source_mode == "strokes"]
    logs = np.log([mine.loss_ratio, *mine.redrawn]).mean(axis=(0, 2))
    rows = {row["source_mode"]: row for row in told["ranking"]}
    assert set(rows) == {f"{mode}:{k}" for mode in ("strokes", "shapes") for k in range(5)}
    for k, mean in enumerate(logs):
        assert rows[f"strokes:{k}"]["geometric_mean"] == pytest.approx(np.exp(mean))
        assert (rows[f"strokes:{k}"]["drawn"], rows[f"strokes:{k}"]["own"]) == ("targets", False)
    assert rows["shapes:0"]["own"]
    assert told["pairs"] is None
    text = call(*words, "--sources", "strokes").stdout
    assert "Single source tasks, each with its episode, on shapes" in text
    assert "for another draw of targets." in text


def test_a_task_is_not_ranked_by_what_it_does_to_itself(tmp_path):
    tasks = tr.few_shot("shapes:val", ways=3, shots=1, queries=2)
    checkpoint = tr.Checkpoint(PixelPrototypes().init_params(0), step=10)
    tr.measure(
        PixelPrototypes(), checkpoint, tasks, tasks, n_source=4, n_target=4, lookahead=tr.SGD(0.1),
        estimator=tr.Exact("loop"), controls=0, out=tmp_path / "run",
    )  # fmt: skip
    told = json.loads(call(tmp_path / "run", "--target", "shapes", "--sources", "shapes", "--json").stdout)
    assert [(row["n"], row["failed"]) for row in told["ranking"]] == [(3, 0)] * 4
    refused(
        call(tmp_path / "run", "--target", "shapes"),
        2,
        "of which it has shapes (--sources ranks its tasks), nothing to rank",
    )


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (["--target", "birds"], ["has no target mode 'birds'; it has shapes"]),
        (["--target", "strokes"], ["has no target mode 'strokes'; it has shapes"]),
        (["--step", 7], ["no checkpoint at step 7; it has 10"]),
        (["--alpha", 0.2], ["step sizes 0.01, 0.1; 0.2 was asked for"]),
        (["--k", 0], ["--k 0 was given; give a whole number from 1 on"]),
        (["--k", 4], ["--k 4 was given", "3 source modes with a mean to rank by"]),
        (["--budget", -1], ["--budget -1 was given"]),
        (["--k", 1, "--budget", 2], ["--k 1 and --budget 2 were given", "Give one of them"]),
        (["--out", "w.toml"], ["--out w.toml was given without weights to write", "--k or --budget"]),
        (["--sources", "strokes", "--k", 1], ["--sources was given with --k, but weights are of modes"]),
        (["--sources", "birds"], ["has no source mode 'birds'", "it has strokes, shapes, textures"]),
        (["--sources", "sum"], ["has no source mode 'sum'"]),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_line(words, more, parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(call(*words, *more), 2, *parts)
    assert not list(tmp_path.iterdir())


def test_which_of_several_step_sizes_has_to_be_said(run):
    refused(call(run, "--target", "shapes"), 2, "has the step sizes 0.01, 0.1, and none was named", "--alpha")


def test_a_file_that_is_there_is_kept_unless_it_may_be_replaced(words, tmp_path):
    (tmp_path / "w.toml").write_text("mine")
    refused(call(*words, "--k", 1, "--out", tmp_path / "w.toml"), 2, "w.toml is there already", "--force")
    assert (tmp_path / "w.toml").read_text() == "mine"
    assert call(*words, "--k", 1, "--out", tmp_path / "w.toml", "--force").exit_code == 0
    assert sum(read_weights(tmp_path / "w.toml").values()) == 1
    refused(call(*words, "--k", 1, "--out", tmp_path), 2, "is there already")


def test_a_run_that_is_not_finished_is_not_ranked(run, tmp_path):
    shutil.copytree(run, tmp_path / "part")
    next((tmp_path / "part" / "pairs").rglob("*.parquet")).unlink()
    refused(
        call(tmp_path / "part", "--target", "shapes", "--alpha", 0.1),
        1,
        "is not finished",
        "Repeat the command in its run.json",
    )
    refused(call(tmp_path / "nowhere", "--target", "shapes"), 1)


@pytest.mark.slow
def test_splits_of_one_mode_are_ranked_and_have_no_weights(tmp_path):
    out = measured(tmp_path / "run", modes=("shapes:train", "shapes:val"), lookahead=tr.SGD(0.1))
    told = call(out, "--target", "shapes")
    assert told.stdout.count("(the target's own)") == 2
    refused(call(out, "--target", "shapes", "--k", 1), 2, "shapes:", "one mode to a training")


def test_subsets_of_the_same_examples_are_compared_task_by_task(tmp_path):
    out = measured(
        tmp_path / "run", modes=("mix[a]:val", "mix[b]:val", "mix[a+b]:val"), targets=("mix[a]:test",),
        learner=NamedPrototypes(), n_source=6, lookahead=tr.SGD(0.1),
    )  # fmt: skip
    told = json.loads(call(out, "--target", "mix[a]", "--json").stdout)
    names = ["mix[a]", "mix[b]", "mix[a+b]"]
    expected = compare_modes(tr.open_run(out).blocks(), shared=[names])
    assert [pair["p"] for pair in told["pairs"]] == pytest.approx(expected["p"].tolist())
    assert expected["p"].to_numpy() != pytest.approx(compare_modes(tr.open_run(out).blocks())["p"].to_numpy())
    assert {row["source_mode"]: row["own"] for row in told["ranking"]} == {name: name == "mix[a]" for name in names}


class Named:
    """Tasks of which nothing is known but a name."""

    def __init__(self, name, seed):
        self.name, self._tasks = name, tr.few_shot("strokes:val", ways=3, shots=1, queries=2, seed=seed)

    def __getitem__(self, index):
        return self._tasks[index]


def test_samplers_of_ones_own_are_ranked_by_their_names_in_one_line_each(tmp_path):
    learner, sources = PixelPrototypes(), [Named("one\nline", 0), Named("other", 1)]
    checkpoint = tr.Checkpoint(learner.init_params(0), step=1)
    for n, name in ((3, "run"), (1, "single")):
        tr.measure(
            learner, checkpoint, sources, Named("target", 2), n_source=n, n_target=n, lookahead=tr.SGD(0.1),
            estimator=tr.Exact("loop"), controls=0, out=tmp_path / name,
        )  # fmt: skip
    asked = [tmp_path / "run", "--target", "target"]
    told = call(*asked, "--k", 1, "--out", tmp_path / "w.toml")
    assert told.exit_code == 0
    assert "one\\nline" in told.stdout
    assert set(read_weights(tmp_path / "w.toml")) == {"one\nline", "other"}
    refused(call(*asked, "--k", 3), 2, "one\\nline")
    refused(call(*asked, "--sources", "none"), 2, "one\\nline")
    refused(call(tmp_path / "single", "--target", "target", "--sources", "other"), 2, "of 1 task(s); from 2 to 500")
    told = call(tmp_path / "single", "--target", "target").stdout
    assert "–: one source and one target: no task can be drawn again" in told
    assert "In brackets" not in told
