"""Figures are looked at by people; these tests hold what an eye would miss."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

import transference as tr
from transference import figures
from transference.blocks import Combined
from transference.errors import UsageError
from transference.figures._style import COLOURS, MODES
from transference.figures.kinds import KINDS
from transference.figures.requests import PlotRequest, Table
from transference.statistics import CLASSES, NEUTRAL_BAND, contrast, intervals, predicted_rows, split_confidence

FIVE = ("mini_imagenet", "fc100", "omniglot", "fgvc_aircraft", "cub200")


def table(n_source=12, n_target=5, steps=(100, 200), modes=("omniglot", "cifar100"), spread=0.06, seed=0):
    generator = np.random.default_rng(seed)
    rows = [
        {
            "checkpoint_step": step,
            "alpha": 0.01,
            "source": i,
            "target": j,
            "source_mode": modes[i * len(modes) // n_source],
            "target_mode": modes[j * len(modes) // n_target],
        }
        for step in steps
        for i in range(n_source)
        for j in range(n_target)
    ]
    frame = pd.DataFrame(rows)
    frame["loss_ratio"] = np.exp(generator.normal(0, spread, len(frame)))
    frame["status"] = "ok"
    for column in ("source_mode", "target_mode"):
        frame[column] = pd.Categorical(frame[column], categories=modes)
    own = frame.drop_duplicates(["checkpoint_step", "target"])[
        ["checkpoint_step", "alpha", "target", "target_mode", "status"]
    ]
    own = own.rename(columns={"target_mode": "mode"}).assign(
        loss_ratio=lambda rows: np.resize([0.7, 0.72, 0.85, 0.9, 1.4], len(rows))
    )
    return frame, own


def blocks(modes=("omniglot", "cifar100"), steps=(100,), n_source=6, n_target=4, seed=0, spread=0.06):
    """What ``Run.blocks()`` returns, of random ratios; the last target mode has a single task."""
    generator = np.random.default_rng(seed)
    shape = lambda target: (n_source, 1 if target == modes[-1] and len(modes) > 1 else n_target)
    return [
        tr.Block.of(
            np.exp(generator.normal(0.02 * k, spread, shape(target))),
            checkpoint_step=step, alpha=0.01, source_mode=source, target_mode=target,
        )
        for step in steps for k, source in enumerate(modes) for target in modes
    ]  # fmt: skip


def shares(*args, **settings):
    return intervals(blocks(*args, **settings), draws=20)


def split(modes=("omniglot", "cifar100"), alphas=(1e-4, 1e-3, 1e-2, 1e-1)):
    """First order falls with the step, curvature rises with its square."""
    rows = []
    for k, (source, target) in enumerate((s, t) for s in modes for t in modes):
        for alpha in alphas:
            parts = {"first_order": -(1 + k) * alpha, "curvature": 30 * alpha**2}
            parts["log_ratio"] = sum(parts.values())
            ends = {
                f"{n}_{end}": v + sign * abs(v) / 4
                for n, v in parts.items()
                for end, sign in (("low", -1), ("high", 1))
            }
            rows.append(
                {
                    "checkpoint_step": 100,
                    "alpha": alpha,
                    "source_mode": source,
                    "target_mode": target,
                    "n": 60,
                    **parts,
                    **ends,
                }
            )
    return pd.DataFrame(rows)


def test_pairs_without_a_ratio_are_counted_beside_the_bars():
    frame, own = table(modes=("a",), steps=(100,))
    frame.loc[[0, 1], ["status", "loss_ratio"]] = "zero_loss", np.nan
    frame.loc[2, "loss_ratio"] = 0.0  # as version 0.1 exported a loss that fell to 0
    [ax] = figures.histogram(frame, own).axes
    texts = [text.get_text() for text in ax.texts]
    assert "3 without a ratio" in texts
    assert not any("below" in text for text in texts)
    told = figures.binned(frame, own)
    assert told.loc[told["class"] == "failed", "count"].tolist() == [3]
    bars = told[told["class"].isin(["positive", "neutral", "negative"])]
    assert bars["count"].sum() == len(frame) - 3


def controls(frame, **ends):
    keys = ["checkpoint_step", "alpha", "source_mode", "target_mode"]
    return (
        frame[keys]
        .drop_duplicates()
        .assign(
            **{
                "resampled_low": 0.95,
                "resampled_high": 1.1,
                "random_direction_low": 0.98,
                "random_direction_high": 1.5,
                **ends,
            }
        )
    )


def calibrated(summary):
    """What ``calibrate`` might say of the mode pairs of a summary, that estimates found to be too positive."""
    told = summary[["checkpoint_step", "alpha", "source_mode", "target_mode", "n"]].assign(n_exact=40, exact_failed=0)
    found = {"positive": (0.05, 0.0, 0.14), "neutral": (0.15, 0.09, 0.21), "negative": (0.8, 0.7, 0.9)}
    for name, (value, low, high) in (found | {"geometric_mean": (1.25, 1.1, 1.4)}).items():
        told = told.assign(**{name: value, f"{name}_low": low, f"{name}_high": high})
    return told


def heights(ax):
    """Total height of the bars of each colour."""
    total = lambda kind: sum(
        (p.get_data().values - p.get_data().baseline).sum()
        for p in ax.patches
        if to_hex(p.get_facecolor()) == kind.lower()
    )
    return {kind: int(total(colour)) for kind, colour in COLOURS.items()}


def test_the_bars_are_the_counts_and_the_words_their_shares():
    ax = Figure().subplots()
    figures.draw_histogram(ax, [0.9, 0.95, 0.99, 1.0, 1.004, 1.1, 1.2, 1.25, 1.29, 1.01], own=[0.85])
    assert heights(ax) == {"positive": 3, "neutral": 2, "negative": 5}
    assert [text.get_text() for text in ax.texts] == ["30%", "20%", "50%"]


def test_what_lies_outside_is_counted_at_the_edge():
    ax = Figure().subplots()
    figures.draw_histogram(ax, [0.1, 0.9, 5.0, 6.0], own=[0.2, 0.9, 7.0])
    texts = [text.get_text() for text in ax.texts]
    assert "← 1 below" in texts
    assert "2 above →" in texts
    assert "25%" not in texts, "shares are of all pairs, inside or not"
    assert texts[0] == "50%"
    marks = {
        line.get_marker(): line.get_xdata().tolist() for line in ax.lines if line.get_marker() not in ("None", None)
    }
    assert marks == {"v": [0.9], "<": [0.8], ">": [1.3]}


def test_classes_that_share_a_bar_are_stacked():
    ax = Figure().subplots()
    figures.draw_histogram(ax, [0.9, 1.0, 1.0, 1.1, 1.1, 1.1], bins=1)
    spans = [(patch.get_data().baseline.tolist(), patch.get_data().values.tolist()) for patch in ax.patches]
    assert spans == [([0], [1]), ([1], [3]), ([3], [6])]


def test_bins_and_limits_are_those_asked():
    ax = Figure().subplots()
    figures.draw_histogram(ax, np.linspace(0.9, 1.1, 50), bins=10, limits=(0.5, 1.5))
    assert ax.get_xlim() == (0.5, 1.5)
    np.testing.assert_allclose(ax.patches[0].get_data().edges, np.linspace(0.5, 1.5, 11))


def test_histogram_has_a_panel_per_pair_of_modes():
    frame, own = table(steps=(100,))
    figure = figures.histogram(frame, own)
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "omniglot → omniglot", "omniglot → cifar100", "cifar100 → omniglot", "cifar100 → cifar100",
    ]  # fmt: skip
    drawn = sum(sum(heights(ax).values()) for ax in figure.axes)
    assert drawn == ((frame["loss_ratio"] >= 0.8) & (frame["loss_ratio"] <= 1.3)).sum()


def test_training_is_on_one_scale():
    frame, own = table()
    figure = figures.training(frame, own)
    assert len(figure.axes) == 4 * 2
    for pair in range(4):
        assert len({ax.get_ylim() for ax in figure.axes[2 * pair : 2 * pair + 2]}) == 1
    assert [ax.get_title() for ax in figure.axes[:2]] == ["checkpoint 100", "checkpoint 200"]
    assert figure.axes[0].get_ylabel() == "omniglot\n→ omniglot"


def test_matrix_is_centred_at_one_and_ordered_by_id():
    frame, _ = table(steps=(100,), n_source=4, n_target=2)
    frame["loss_ratio"] = 1.0 + 0.1 * frame["source"] - 0.1 * frame["target"]
    ax = figures.matrix(frame).axes[0]
    mesh = ax.collections[0]
    drawn = np.exp(mesh.get_array().reshape(4, 2))
    np.testing.assert_allclose(drawn[:, 0], [1.0, 1.1, 1.2, 1.3])
    assert mesh.norm.vmin == -mesh.norm.vmax
    assert ax.yaxis_inverted(), "the first source is on top"
    red, blue = mesh.cmap(mesh.norm(0.2))[0], mesh.cmap(mesh.norm(-0.2))[2]
    assert min(red, blue) > 0.5, "above 1 is red, below is blue"


def test_matrix_survives_failed_cells_and_no_effect():
    frame, _ = table(steps=(100,))
    frame.loc[3, "loss_ratio"] = np.nan
    figures.matrix(frame)
    frame["loss_ratio"] = 1.0
    figures.matrix(frame)
    frame["loss_ratio"] = np.nan
    figures.matrix(frame)


def texts_of(figure):
    """Every text that a reader sees."""
    yield from figure.texts
    for legend in figure.legends:
        yield from (legend.get_title(), *legend.get_texts())
    for ax in figure.axes:
        yield from (*ax.texts, ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label)
        for axis, (low, high) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            shown = [tick for tick in axis.get_major_ticks() if min(low, high) <= tick.get_loc() <= max(low, high)]
            yield from (tick.label1 for tick in shown if tick.label1.get_visible())


def overlaps(figure):
    """Pairs of texts whose boxes overlap in the rendered figure."""
    figure.canvas.draw()
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in texts_of(figure)
        if text.get_text().strip() and text.get_visible()
    ]
    return [
        (a, b) for k, (a, box) in enumerate(boxes) for b, other in boxes[k + 1 :]
        if min(box.x1, other.x1) - max(box.x0, other.x0) > 1 and min(box.y1, other.y1) - max(box.y0, other.y0) > 1
    ]  # fmt: skip


def outside(figure):
    """Texts that the edge of the figure cuts."""
    width, height = figure.canvas.get_width_height()
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in texts_of(figure)
        if text.get_text().strip() and text.get_visible()
    ]
    return [text for text, box in boxes if min(box.x0, box.y0) < -0.5 or box.x1 > width + 0.5 or box.y1 > height + 0.5]


def combined(block, name="smooth-worst:0.25,0.125"):
    """A combination of one mode, half a step of each task, on the targets of its block."""
    n = len(block.loss_ratio)
    made_of = Combined.of(np.full((n, 1), 0.5), np.full(n, 0.2), [block.loss_ratio])
    return replace(block, source_mode=name, combination=made_of)


def in_memory(modes, kind, seed=0, spread=0.2):
    """The tables of a run that was never stored, of what a kind draws."""
    steps, alphas = (
        ((5000, 15000, 20000) if kind.every_step else (200,)),
        ((1e-3, 1e-2) if kind.every_alpha else (0.01,)),
    )
    frame, own = table(modes=modes, n_source=15, n_target=10, spread=spread, steps=steps, seed=seed)
    found = [
        replace(
            block, alpha=alpha, first_order=np.log(block.loss_ratio).astype(np.float32) - 30 * np.float32(alpha) ** 2
        )
        for block in blocks(modes, steps, spread=spread, seed=seed)
        for alpha in alphas
    ]
    if kind.name == "confidence":
        found = [replace(block, tempered_ratio=block.loss_ratio**0.6 + 0.02 * spread) for block in found]
    if kind.name == "rows":
        found += [
            combined(block, name)
            for block in found
            if block.source_mode == modes[0]
            for name in ("mgda", "smooth-worst:0.25,0.125")
        ]
    drawn = Table.of(
        "run", steps, alphas, NEUTRAL_BAND,
        blocks=lambda: found, pairs=lambda: frame, self_transference=lambda: own, controls=pd.DataFrame,
    )  # fmt: skip
    return replace(drawn, bands=lambda: controls(frame))


CASES = {
    "histogram": {},
    "training": {},
    "training, trend": {"trend": True},
    "matrix": {},
    "matrix, clustered": {"clustered": True},
    "matrix, two": {},
    "matrix, two clustered": {"clustered": True},
    "types": {},
    "types, ring": {"ring": True},
    "histogram, calibrated": {},
    "histogram, beyond the edges": {},
    "training, calibrated": {},
    "training, trend calibrated": {"trend": True},
    "types, calibrated": {},
    "types, ring calibrated": {"ring": True},
    "blocks, calibrated": {},
    "compare, calibrated": {},
    "matrix, calibrated": {},
    "step-size, calibrated": {},
    "blocks": {},
    "blocks, small effects": {},
    "compare": {},
    "rows": {},
    "step-size": {},
    "confidence": {},
}
"""What each kind of figure is held to: name, a case of it, and its options."""

OF_ESTIMATES = ("compare, calibrated", "step-size, calibrated", "matrix, calibrated")
"""Cases that cannot draw what is calibrated."""


def request_of(case, modes):
    [kind] = [kind for kind in KINDS if kind.name == case.partition(",")[0]]
    spread = 1e-4 if "small effects" in case else 0.2
    n = 2 if "two" in case else kind.n_tables[0]
    tables = tuple(in_memory(modes, kind, seed, spread) for seed in range(n))
    if "calibrated" in case:
        tables = tuple(replace(drawn, calibrated=lambda drawn=drawn: calibrated(drawn.summary())) for drawn in tables)
    if "beyond" in case:
        ends = {"resampled_low": 0.01234, "resampled_high": 987.6, "random_direction_low": 1.4}
        tables = tuple(replace(drawn, bands=lambda drawn=drawn: controls(drawn.pairs(), **ends)) for drawn in tables)
    return kind, PlotRequest(tables, ("protonet", "kml-protonet")[:n], options=CASES[case])


def test_every_kind_has_a_case():
    names = [kind.name for kind in KINDS]
    assert sorted(set(names)) == sorted(names)
    assert {case.partition(",")[0] for case in CASES} == set(names)


@pytest.mark.slow
@pytest.mark.parametrize(
    "modes", [("omniglot",), ("tiny_imagenet", "cifar100"), ("mini_imagenet:train", "mini_imagenet:test"), FIVE]
)
@pytest.mark.parametrize("case", CASES)
def test_no_text_overlaps_another_or_is_cut(case, modes):
    kind, request = request_of(case, modes)
    figure, data, _ = kind.draw(request)
    FigureCanvasAgg(figure)
    assert overlaps(figure) == []
    assert outside(figure) == []
    assert len(data)


@pytest.mark.parametrize("case", CASES)
def test_every_figure_of_the_report_tells_modes_and_numbers(case):
    kind, request = request_of(case, ("tiny_imagenet", "cifar100"))
    for shown in kind.in_report:
        words = shown.describe(request.tables[0])
        assert all((words.title, words.alt, words.caption))
        assert ("mgda" if kind.name == "rows" else "tiny_imagenet") + " → cifar100" in words.alt
        if "calibrated" in case and case not in OF_ESTIMATES:
            assert "80% negative" in words.alt or "1.25" in words.alt
            assert "another draw" not in words.caption


def test_an_option_that_is_shared_is_the_same_for_every_kind():
    options = [option for kind in KINDS for option in kind.options]
    assert len({option.name for option in options}) == len(set(options))


def test_controls_are_bands_behind_the_bars_clipped_at_the_limits():
    ax = figures.draw_histogram(Figure().subplots(), [0.9, 1.1], resampled=(0.5, 0.9), random_direction=(0.98, 1.2))
    spans = {
        p.get_label(): (p.get_x(), p.get_x() + p.get_width(), p.get_zorder())
        for p in ax.patches
        if "95 %" in str(p.get_label())
    }
    assert spans == {
        "resampled, 95 %": pytest.approx((0.8, 0.9, 0)),
        "random direction, 95 %": pytest.approx((0.98, 1.2, 0)),
    }
    bars = [patch for patch in ax.patches if patch.get_label() not in spans]
    assert all(bar.get_zorder() > 0 for bar in bars)


@pytest.mark.parametrize(("low", "high"), [(np.nan, np.nan), (1.4, 1.6), (0.1, 0.2)])
def test_no_band_where_there_is_no_control_or_none_within_the_limits(low, high):
    ax = figures.draw_histogram(Figure().subplots(), [0.9, 1.1], random_direction=(low, high))
    assert not [patch for patch in ax.patches if "95 %" in str(patch.get_label())]


def test_each_panel_has_the_controls_of_its_pair_and_the_legend_names_what_is_drawn():
    frame, own = table()
    bands = controls(frame, random_direction_low=np.nan)
    bands["resampled_low"] = np.linspace(0.85, 0.99, len(bands))
    figure = figures.training(frame, own, bands=bands.sample(frac=1, random_state=0))
    modes = ("omniglot", "cifar100")
    panels = [(step, s, t) for s in modes for t in modes for step in (100, 200)]
    wanted = bands.set_index(["checkpoint_step", "source_mode", "target_mode"])["resampled_low"]
    for ax, panel in zip(figure.axes, panels, strict=True):
        assert [p.get_x() for p in ax.patches if p.get_label() == "resampled, 95 %"] == [pytest.approx(wanted[panel])]
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named[-1] == "resampled, 95 %"
    assert "random direction, 95 %" not in named


def test_the_table_of_a_histogram_counts_every_pair_once():
    frame, own = table(spread=0.3)
    frame.loc[3, "status"] = "non_finite"
    told = figures.binned(frame, own, bins=10)
    pairs = told[~told["class"].isin(["self-transference", "failed"])]
    assert pairs["count"].sum() == len(frame) - 1
    first = pairs[
        (pairs["checkpoint_step"] == 100) & (pairs["source_mode"] == "omniglot") & (pairs["target_mode"] == "cifar100")
    ]
    chosen = frame[
        (frame["checkpoint_step"] == 100) & (frame["source_mode"] == "omniglot") & (frame["target_mode"] == "cifar100")
    ]
    ratios = chosen.loc[chosen["status"] == "ok", "loss_ratio"]
    for bar in first.groupby(["low", "high"])["count"].sum().rename("pairs").reset_index().itertuples():
        assert bar.pairs == ((ratios >= bar.low) & (ratios < bar.high)).sum()
    assert told[told["class"] == "self-transference"]["low"].tolist() == own["loss_ratio"].tolist()
    ends = figures.binned(frame, own, bands=controls(frame).astype({"source_mode": str, "target_mode": str})).query(
        "`class` == 'random direction'"
    )
    assert ends[["low", "high"]].drop_duplicates().to_numpy().tolist() == [[0.98, 1.5]]
    assert len(ends) == 2 * 4


def test_a_bar_of_types_is_as_long_as_its_shares_and_has_their_intervals():
    found = shares()
    ax = figures.types(found).axes[0]
    by = found.set_index(["source_mode", "target_mode", "statistic"])
    pairs = list(dict.fromkeys((s, t) for s, t, _ in by.index))
    bars = np.array([patch.get_width() for patch in ax.patches]).reshape(len(pairs), 3)
    for pair, widths in zip(pairs, bars, strict=True):
        np.testing.assert_allclose(widths, [by.loc[(*pair, kind), "value"] for kind in CLASSES])
    ends = iter(line.get_xdata().tolist() for line in ax.lines)
    for pair in pairs:
        positive, negative = by.loc[(*pair, "positive")], by.loc[(*pair, "negative")]
        assert next(ends) == pytest.approx([positive["low"], positive["high"]])
        assert next(ends) == pytest.approx([1 - negative["high"], 1 - negative["low"]])
    assert next(ends, None) is None


def test_intervals_that_hold_for_one_task_say_so():
    found = shares()
    for figure in (
        figures.types(found),
        figures.compare(contrast(blocks(), blocks(seed=1), draws=20), found, shares(seed=1)),
    ):
        labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        targets = ["→ omniglot", "→ cifar100\n(given one target)"]
        assert labels == ["omniglot →", "cifar100 →", *targets, *targets]
    figure = figures.blocks(found)
    assert "† given one target" in figure._suptitle.get_text()
    assert [text.get_text().endswith("†") for text in figure.axes[0].texts[::2]] == [False, True, False, True]
    assert "some given one target" in figures.trend(found).legends[0].get_title().get_text()


def test_a_ring_has_the_shares_as_angles():
    found = shares().query("source_mode == 'omniglot' and target_mode == 'omniglot'")
    ax = figures.draw_ring(Figure().subplots(), found)
    found = found.set_index("statistic")
    angles = [wedge.theta2 - wedge.theta1 for wedge in ax.patches]
    np.testing.assert_allclose(angles, [360 * found.loc[kind, "value"] for kind in CLASSES], atol=1e-3)
    assert [text.get_text() for text in ax.texts if text.get_text()] == [
        f"{found.loc[kind, 'value']:.0%}" for kind in CLASSES
    ]


def test_blocks_tell_means_and_mark_those_that_differ_from_one():
    found = shares(n_source=3, n_target=3)
    mean = found["statistic"] == "geometric_mean"
    found.loc[mean, "value"], found.loc[mean, "low"], found.loc[mean, "high"] = [
        [1.05, 0.98, 0.9994, np.nan],
        [1.02, 0.95, 0.9991, np.nan],
        [1.08, 1.01, 0.9997, np.nan],
    ]
    ax = figures.blocks(found, limit=1.1).axes[0]
    told = [(text.get_text(), text.get_fontweight()) for text in ax.texts]
    assert told == [
        ("1.05", "bold"), ("[1.02, 1.08]", "normal"), ("0.98†", "normal"), ("[0.95, 1.01]", "normal"),
        ("0.9994", "bold"), ("[0.9991, 0.9997]", "normal"), ("–†", "normal"),
    ]  # fmt: skip
    assert ax.collections[0].norm.vmax == pytest.approx(np.log(1.1))


def test_compare_draws_the_differences_of_the_contrast():
    mine, other = blocks(), blocks(seed=1)
    difference = contrast(mine, other, draws=20)
    bars, gaps = figures.compare(difference, shares(), shares(seed=1), ("before", "after")).axes
    wanted = difference[difference["statistic"].isin(["positive", "negative"])]
    drawn = [line.get_xdata() for line in gaps.lines if line.get_marker() not in ("None", None)]
    np.testing.assert_allclose(np.concatenate([np.atleast_1d(x) for x in drawn]), wanted["value"])
    ends = [
        line.get_xdata()
        for line in gaps.lines
        if line.get_marker() in ("None", None) and len(set(line.get_xdata())) == 2
    ]
    np.testing.assert_allclose(ends, wanted[["low", "high"]])
    assert len([text for text in gaps.texts if text.get_text().startswith("p ")]) == wanted["p"].notna().sum()
    widths = np.array([patch.get_width() for patch in bars.patches]).reshape(4, 2, 3)
    np.testing.assert_allclose(
        widths[0, 1], shares(seed=1)["value"][shares(seed=1)["statistic"].isin(CLASSES)].to_numpy()[:3]
    )
    assert {patch.get_hatch() for patch in bars.patches} == {None, "////"}


def test_a_trend_passes_through_the_shares():
    found = shares(steps=(100, 200, 400))
    figure = figures.trend(
        found.sample(frac=1, random_state=0).sort_values(["source_mode", "target_mode"], ascending=False)
    )
    chosen = found[(found["source_mode"] == "omniglot") & (found["target_mode"] == "omniglot")].set_index(
        ["statistic", "checkpoint_step"]
    )
    for line, kind in zip(figure.axes[0].lines, CLASSES, strict=True):
        assert line.get_xdata().tolist() == [100, 200, 400]
        np.testing.assert_allclose(line.get_ydata(), [chosen.loc[(kind, step), "value"] for step in (100, 200, 400)])
    bands = figure.axes[0].collections[::2]
    assert len(bands) == 3
    assert bands[0].get_datalim(figure.axes[0].transData).y1 == pytest.approx(chosen.loc["positive", "high"].max())


def test_step_size_shows_small_and_large_steps():
    figure = figures.step_size(split())
    ax = figure.axes[0]
    lines = {line.get_color(): line for line in ax.lines if len(line.get_xdata()) == 4}
    assert sum(line.get_ydata() for color, line in lines.items() if color != "black") == pytest.approx(
        lines["black"].get_ydata()
    )
    assert ax.get_xscale() == "log"
    places = ax.transData.transform([(1e-4, y) for y in lines["black"].get_ydata()])[:, 1]
    assert np.abs(np.diff(places)).min() > 3, "points of neighbouring steps are apart"
    bars = [segment[:, 1] for segment in ax.collections[1].get_segments()]
    np.testing.assert_allclose(bars, split()[["first_order_low", "first_order_high"]].iloc[:4])
    with pytest.raises(UsageError, match="100, 200 of checkpoint_step"):
        figures.step_size(pd.concat([split(), split().assign(checkpoint_step=200)]))


def test_confidence_shows_the_two_parts_of_each_mean_below_it():
    found = confidences()
    ax = figures.confidence(found).axes[0]
    marks = [line for line in ax.lines if line.get_marker() not in ("", "None")]
    values = np.array([line.get_xdata() for line in marks], dtype=float).reshape(len(found), 3)
    np.testing.assert_allclose(values, found[["log_ratio", "tempered", "confidence"]])
    np.testing.assert_allclose(values[:, 0], values[:, 1:].sum(axis=1), atol=1e-15)
    ends = [line.get_xdata() for line in ax.lines if line.get_marker() in ("", "None")][1:]
    np.testing.assert_allclose(ends[1], found.loc[0, ["tempered_low", "tempered_high"]].astype(float))
    with pytest.raises(UsageError, match="100, 200 of checkpoint_step"):
        figures.confidence(pd.concat([found, found.assign(checkpoint_step=200)]))


def test_a_step_of_no_effect_and_a_single_step_can_be_drawn():
    zero = split(alphas=(0.01,))
    zero.loc[:, zero.columns[5:]] = 0.0
    for case in (zero, split(alphas=(0.02,)), zero.assign(curvature_low=np.nan, curvature_high=np.nan)):
        FigureCanvasAgg(figures.step_size(case)).draw()


@pytest.mark.parametrize("draw", [figures.types, figures.blocks])
def test_a_figure_of_one_checkpoint_refuses_several(draw):
    with pytest.raises(UsageError, match="100, 200 of checkpoint_step; this figure draws one"):
        draw(shares(steps=(100, 200)))


def planted(seed=0):
    """A matrix with two groups of sources and two of targets, across modes, and failed cells."""
    frame, _ = table(steps=(100,), n_source=12, n_target=8)
    generator = np.random.default_rng(seed)
    sign = lambda column: np.where(frame[column] % 3, 1, -1)
    frame["loss_ratio"] = np.exp(0.1 * sign("source") * sign("target") + generator.normal(0, 0.01, len(frame)))
    return frame


def test_clustering_puts_those_that_act_alike_beside_each_other():
    frame = planted()
    frame.loc[frame.index[[0, 17, 40]], "loss_ratio"] = [np.nan, 0.0, np.inf]
    table = figures.arranged(frame, clustered=True)
    assert (sorted(table.index), sorted(table.columns)) == (list(range(12)), list(range(8)))
    for order in (table.index, table.columns):
        assert np.count_nonzero(np.diff(order % 3 == 0)) == 1, "one group, then the other"
    np.testing.assert_array_equal(
        table.to_numpy(),
        frame.pivot(index="source", columns="target", values="loss_ratio").loc[table.index, table.columns],
    )


def test_strips_tell_the_mode_of_each_row_and_column():
    frame = planted()
    figure = figures.matrix(frame, clustered=True)
    rows, columns = figure.axes[0].child_axes[:2]
    table = figures.arranged(frame, clustered=True)
    for strip, order, n in ((rows, table.index, 12), (columns, table.columns, 8)):
        mesh = strip.collections[0]
        colours = [to_hex(colour) for colour in mesh.cmap(mesh.norm(mesh.get_array().ravel()))]
        assert colours == [MODES[int(task) * 2 // n].lower() for task in order]
    assert rows.yaxis_inverted() == figure.axes[0].yaxis_inverted()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["omniglot", "cifar100"]


def test_clustering_survives_tables_of_nothing_and_of_one():
    frame = planted()
    for case in (
        frame.assign(loss_ratio=np.nan),
        frame.assign(loss_ratio=1.0),
        frame[frame["source"] == 3],
        frame[frame["target"] == 3],
        frame[(frame["source"] < 4) & (frame["target"] < 4)].assign(loss_ratio=1.0),  # square: like distances of 0
    ):
        figures.matrix(case, clustered=True)


def test_matrices_can_share_a_scale():
    for frame in (table(steps=(100,))[0], table(steps=(100,), spread=0.5)[0]):
        assert figures.matrix(frame, limit=1.2).axes[0].collections[0].norm.vmax == pytest.approx(np.log(1.2))
    with pytest.raises(UsageError, match="must be above 1"):
        figures.matrix(frame, limit=0.8)


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_figures_are_saved_in_three_formats(tmp_path, suffix):
    frame, own = table(steps=(100,))
    path = tmp_path / "new" / f"figure{suffix}"
    figures.save(figures.histogram(frame, own), path)
    assert path.stat().st_size > 2000
    with pytest.raises(UsageError, match=r"ends in \.png, \.pdf or \.svg"):
        figures.save(figures.histogram(frame, own), tmp_path / "figure.bmp")


def test_contact_sheet_shows_every_image():
    images = [np.full((n, c, 4, 4), 128, dtype=np.uint8) for n, c in ((3, 3), (2, 3))]
    figure = figures.contact_sheet(images, ["ant", "bee"])
    assert sum(len(ax.images) for ax in figure.axes) == 5


# What lies beyond an edge


def notes(ax):
    return [text.get_text() for text in ax.texts if "→" in text.get_text() or "←" in text.get_text()]


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ((0.9, 1.1), []),
        ((np.nan, np.nan), []),
        ((0.5, 1.1), ["← 0.5 resampled"]),
        ((0.9, 2.5), ["resampled 2.5 →"]),
        ((0.25, 1234.5), ["← 0.25 resampled 1,234 →"]),
        ((0.1, 0.3), ["← 0.1 resampled 0.3"]),
        ((1.4, 1.6), ["1.4 resampled 1.6 →"]),
    ],
)
def test_a_band_that_ends_beyond_an_edge_says_where(ends, told):
    assert notes(figures.draw_histogram(Figure().subplots(), [0.9, 1.1], resampled=ends)) == told
    named = [note.replace("resampled", "random direction") for note in told]
    assert notes(figures.draw_histogram(Figure().subplots(), [0.9, 1.1], random_direction=ends)) == named


@pytest.mark.parametrize(
    ("extremes", "tips"), [((1.0, 1.0), "neither"), ((0.5, 1.0), "min"), ((1.0, 2.0), "max"), ((0.5, 2.0), "both")]
)
def test_a_scale_has_a_tip_where_cells_lie_beyond_it_and_only_there(extremes, tips):
    frame, _ = table(steps=(100,))
    frame["loss_ratio"] = 1.01
    frame.loc[:1, "loss_ratio"] = extremes
    for figure in (figures.matrix(frame, limit=1.2), figures.matrix(frame, limit=1.2, clustered=True)):
        assert figure.axes[0].collections[0].colorbar.extend == tips


def test_a_single_cell_is_not_beyond_its_own_scale():
    frame = planted()
    for ratio in np.linspace(0.5, 1.5, 40):
        figure = figures.matrix(frame[(frame["source"] == 3) & (frame["target"] == 3)].assign(loss_ratio=ratio))
        assert figure.axes[0].collections[0].colorbar.extend == "neither"


def test_an_interval_of_rows_that_goes_on_beyond_its_axis_has_a_tip():
    found = predicted_rows([combined(block) for block in blocks()][:1])
    found[["measured_low", "measured_high"]] = [0.2, 0.4]
    assert not [line for line in figures.rows(found).axes[1].lines if line.get_marker() in "<>"]
    found[["measured_low", "measured_high"]] = [-0.2, 1.4]
    means, shares_of_negative = figures.rows(found.assign(measured_low=found["measured_low"].abs())).axes
    assert not [line for line in means.lines if line.get_marker() in "<>"]
    tips = [(line.get_marker(), line.get_xdata()[0]) for line in shares_of_negative.lines if line.get_marker() in "<>"]
    assert tips == [(">", 1.03)]
    shares_of_negative = figures.rows(found.query("statistic == 'negative'").pipe(with_means)).axes[1]
    tips = [(line.get_marker(), line.get_xdata()[0]) for line in shares_of_negative.lines if line.get_marker() in "<>"]
    assert tips == [("<", -0.03), (">", 1.03)]


def with_means(negative):
    """Rows of shares, with rows of a mean that go with them."""
    ends = {f"measured{end}": value for end, value in (("", 1.0), ("_low", 0.9), ("_high", 1.1))}
    return pd.concat([negative, negative.assign(statistic="geometric_mean", **ends)])


def test_marks_at_the_ends_of_a_trend_are_seen_whole():
    ax = figures.trend(shares(steps=(100, 200))).axes[0]
    low, high = ax.get_ylim()
    assert low < 0
    assert high > 1


# Told apart


def lightness(colour):
    red, green, blue = to_rgb(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_what_stands_behind_the_bars_is_told_from_neutral_in_colour_and_in_grey():
    bands = {"resampled": (0.9, 1.1), "random_direction": (0.95, 1.2)}
    ax = figures.draw_histogram(Figure().subplots(), [1.001], **bands)
    plain, hatched = (patch for patch in ax.patches if "95 %" in str(patch.get_label()))
    grey = lambda colour: max(to_rgb(colour)) - min(to_rgb(colour)) < 0.1
    assert not grey(plain.get_facecolor())
    assert not grey(hatched.get_edgecolor())
    assert hatched.get_hatch()
    shades = [lightness(colour) for colour in (plain.get_facecolor(), COLOURS["neutral"], hatched.get_edgecolor())]
    assert np.diff(shades).max() < -0.25, "light, middle, dark"


def test_the_legend_of_compare_shows_no_two_things_in_one_look():
    figure = figures.compare(
        contrast(blocks(), blocks(seed=1), draws=20), shares(), shares(seed=1), ("before", "after")
    )
    looks = [(to_hex(patch.get_facecolor()), patch.get_hatch()) for patch in figure.legends[0].get_patches()]
    assert len(looks) == len(set(looks)) == 5
    neutral = to_hex(COLOURS["neutral"])
    assert [face for face, _ in looks].count(neutral) == 1


# A p-value beside its interval


def test_every_p_stands_on_the_side_of_its_interval():
    rows = contrast(blocks(), blocks(seed=1), draws=20)
    for p in (0.0, 0.0004, 0.012, 0.0496, 0.04996, 0.0500001, 0.0504, 0.0999, 0.5, 1.0):
        excludes = p <= 0.05
        told = rows.assign(p=p, value=0.1, low=0.01 if excludes else -0.01, high=0.2)
        gaps = figures.compare(told, shares(), shares(seed=1)).axes[1]
        words = {text.get_text() for text in gaps.texts}
        assert len(words) == 1
        said = words.pop().removeprefix("p ")
        assert said != "0.000"
        assert (float(said.removeprefix("< ")) < 0.05) == excludes, said


# From source to target


@pytest.mark.parametrize("case", CASES)
def test_source_and_target_are_joined_by_an_arrow(case):
    kind, request = request_of(case, ("tiny_imagenet", "cifar100"))
    figure, _, _ = kind.draw(request)
    FigureCanvasAgg(figure).draw()
    words = [text.get_text().replace("\n", " ") for text in texts_of(figure) if text.get_visible()]
    words = [" ".join(word.split("(")[0].split()) for word in words]
    if kind.name in ("matrix", "blocks"):
        thing = "task" if kind.name == "matrix" else "mode"
        assert any(word.startswith(f"→ target {thing}") for word in words)
        assert any(re.fullmatch(f"source {thing}s? →", word) for word in words)
        return
    assert any(word.startswith("→ ") or " → " in word for word in words)
    named = [word for word in words if word in ("tiny_imagenet", "cifar100", "mgda")]
    assert not named, "no mode stands without its side"


# Scales


def test_the_scale_of_step_sizes_has_no_kink():
    ax = figures.step_size(split()).axes[0]
    scale = ax.yaxis.get_transform()
    largest = np.abs(ax.get_ylim()).max()
    at = np.concatenate([-np.geomspace(1e-9, largest, 4000)[::-1], np.geomspace(1e-9, largest, 4000)])
    slope = np.diff(scale.transform(at)) / np.diff(at)
    change = np.abs(np.diff(np.log(slope)))
    assert change.max() < 0.02, "the slope changes by steps as small as those of the axis"


def test_matrices_of_two_runs_are_on_one_scale_and_in_one_order():
    first, second = planted(), planted(seed=1)
    second["loss_ratio"] = second["loss_ratio"] ** 3
    for clustered in (False, True):
        figure = figures.matrix(first, second, clustered=clustered, names=("before", "after"))
        left, right = figure.axes[:2]
        meshes = [ax.collections[0] for ax in (left, right)]
        limit = figures.shared_limit(first, second)
        assert [mesh.norm.vmax for mesh in meshes] == pytest.approx([np.log(limit)] * 2)
        assert limit > figures.shared_limit(first)
        order = figures.arranged(first, clustered=clustered, limit=limit)
        for mesh, frame in zip(meshes, (first, second), strict=True):
            wide = frame.pivot(index="source", columns="target", values="loss_ratio")
            expected = np.log(wide.loc[order.index, order.columns])
            np.testing.assert_allclose(mesh.get_array().reshape(expected.shape), expected)
        assert [ax.get_title() for ax in (left, right)] == ["before", "after"]
        assert len(figure.axes) == 3, "and one colour bar"
    with pytest.raises(UsageError, match="other target ids"):
        figures.matrix(first, second[second["target"] > 0])


def test_trees_join_what_is_alike_above_the_cells_that_they_are_of():
    frame = planted()
    ax = figures.matrix(frame, clustered=True).axes[0]
    rows, columns = ax.child_axes[2:]
    for tree, across, n in ((rows, 1, 12), (columns, 0, 8)):
        joints = np.array(tree.collections[0].get_segments())
        assert len(joints) == n - 1
        heights = joints[:, 1, 1 - across]
        assert np.sort(heights)[-1] > 5 * np.sort(heights)[-2], "two groups"
        leaves = joints[:, [0, 3]][joints[:, [0, 3], 1 - across] == 0][:, across]
        np.testing.assert_allclose(np.sort(leaves), np.arange(n) + 0.5)
    assert rows.get_ylim() == ax.get_ylim() == (12, 0)
    assert columns.get_xlim() == ax.get_xlim() == (0, 8)


def test_a_tree_deeper_than_the_stack_can_be_drawn():
    n = 1500
    frame = pd.DataFrame({"source": np.repeat(np.arange(n), 2), "target": np.tile([0, 1], n)})
    frame = frame.assign(checkpoint_step=1, alpha=0.1, source_mode="a", target_mode="a", loss_ratio=1.0)
    ax = figures.matrix(frame, clustered=True).axes[0]  # all are alike, and each joins the rest by itself
    assert len(ax.child_axes[2].collections[0].get_segments()) == n - 1


# Calibrated


def calibrated_table():
    found = in_memory(("omniglot", "cifar100"), KINDS[0])
    return found, calibrated(found.summary())


def test_bars_of_a_calibrated_run_are_the_calibrated_shares_and_thin_ones_the_estimates():
    found, exact = calibrated_table()
    ax = figures.types(found.intervals(), calibrated=exact).axes[0]
    calibrated_bars = [patch.get_width() for patch in ax.patches if patch.get_height() > 0.3]
    np.testing.assert_allclose(calibrated_bars, [0.05, 0.15, 0.8] * 4)
    thin = [patch.get_width() for patch in ax.patches if patch.get_height() < 0.3]
    estimates = found.intervals().query("statistic in @CLASSES")["value"]
    np.testing.assert_allclose(thin, estimates)
    ends = [line.get_xdata().tolist() for line in ax.lines]
    np.testing.assert_allclose(ends, [[0.0, 0.14], [0.1, 0.3]] * 4)
    assert [text.get_text() for text in ax.texts][:3] == ["5%", "15%", "80%"]


def test_histograms_of_a_calibrated_run_tell_calibrated_shares_with_intervals_above_those_of_estimates():
    frame, own = table(steps=(100,))
    exact = calibrated(frame.drop_duplicates(["source_mode", "target_mode"]).assign(n=15))
    for figure in (
        figures.histogram(frame, own, calibrated=exact),
        figures.training(frame, own, calibrated=exact.sample(frac=1, random_state=0)),
    ):
        for ax in figure.axes:
            texts = [text.get_text() for text in ax.texts]
            assert texts[3:6] == ["5% 0–14", "15% 9–21", "80% 70–90"]
            assert all(text.endswith("%") for text in texts[:3])
        assert "calibrated" in figure.legends[0].get_title().get_text()
    unknown = exact.assign(**dict.fromkeys(CLASSES, np.nan))
    assert [text.get_text() for text in figures.histogram(frame, own, calibrated=unknown).axes[0].texts][3:6] == [
        "–"
    ] * 3


def test_a_trend_of_a_calibrated_run_has_calibrated_lines_with_intervals_and_the_estimates_beside():
    found = shares(steps=(100, 200))
    exact = calibrated(found.query("statistic == 'positive'").assign(n=24))
    ax = figures.trend(found, calibrated=exact).axes[0]
    lines = {(line.get_color(), line.get_marker() != "None"): line.get_ydata() for line in ax.lines}
    here = found.query("source_mode == 'omniglot' and target_mode == 'omniglot'").set_index("statistic")["value"]
    for kind, value in zip(CLASSES, (0.05, 0.15, 0.8), strict=True):
        np.testing.assert_allclose(lines[COLOURS[kind], True], value)
        np.testing.assert_allclose(lines[COLOURS[kind], False], here[kind])
    bars = [segment[:, 1].tolist() for segment in ax.collections[-1].get_segments()]
    np.testing.assert_allclose(bars, [[0.7, 0.9]] * 2)


def test_means_of_a_calibrated_run_are_the_calibrated_ones():
    found, exact = calibrated_table()
    figure = figures.blocks(found.intervals(), calibrated=exact)
    assert [text.get_text() for text in figure.axes[0].texts][:2] == ["1.25", "[1.10, 1.40]"]
    assert "calibrated by exact pairs" in figure._suptitle.get_text()


@pytest.mark.parametrize("case", [case for case in CASES if "calibrated" in case and case not in OF_ESTIMATES])
def test_the_data_of_a_calibrated_figure_hold_both(case):
    kind, request = request_of(case, ("tiny_imagenet", "cifar100"))
    data = kind.draw(request).data
    if "of" in data:
        assert set(data["of"]) == {"estimates", "calibrated"}
        assert data.query("of == 'calibrated'")["value"].isin([0.05, 0.15, 0.8, 1.25]).all()
    else:
        found = data[data["class"] == "calibrated share, negative"]
        assert found["value"].eq(0.8).all()
        assert found[["low", "high"]].drop_duplicates().to_numpy().tolist() == [[0.7, 0.9]]


@pytest.mark.parametrize("case", OF_ESTIMATES)
def test_what_cannot_be_calibrated_says_that_it_is_of_estimates(case):
    kind, request = request_of(case, ("tiny_imagenet", "cifar100"))
    figure = kind.draw(request).figure
    titles = [legend.get_title().get_text() for legend in figure.legends] + [str(figure.get_suptitle())]
    assert "estimates, not calibrated" in " ".join(titles)


# On axes, and in figures, of one's own


def confidences():
    return split_confidence([replace(block, tempered_ratio=block.loss_ratio**0.6) for block in blocks()])


def part_of(table):
    """The rows of one mode pair."""
    return table[(table["source_mode"] == "omniglot") & (table["target_mode"] == "omniglot")]


PANELS = {
    "draw_histogram": lambda: (table(steps=(100,))[0],),
    "draw_matrix": lambda: (table(steps=(100,))[0],),
    "draw_types": lambda: (shares(),),
    "draw_blocks": lambda: (shares(),),
    "draw_ring": lambda: (part_of(shares()),),
    "draw_trend": lambda: (part_of(shares(steps=(100, 200))),),
    "draw_step_size": lambda: (part_of(split()),),
    "draw_confidence": lambda: (confidences(),),
}


def test_every_panel_of_a_table_can_be_drawn_on_axes_of_ones_own():
    assert set(PANELS) == {name for name in figures.__all__ if name.startswith("draw_")} - {"draw_example"}


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_takes_a_table_and_the_callers_axes(name):
    figure = Figure(layout="constrained")
    mine, other = figure.subplots(1, 2)
    assert getattr(tr.figures, name)(mine, *PANELS[name]()) is mine
    FigureCanvasAgg(figure).draw()
    assert mine.has_data() or mine.patches
    assert not other.has_data()
    if name == "draw_confidence":
        assert mine.get_legend_handles_labels()[1] == ["log LR", "tempered", "confidence"]
    if name in ("draw_histogram", "draw_types", "draw_trend"):
        assert set(CLASSES) <= set(mine.get_legend_handles_labels()[1]), "a legend of one's own is a call"


@pytest.mark.parametrize("name", ["draw_ring", "draw_trend", "draw_step_size"])
def test_a_panel_of_one_mode_pair_refuses_several(name):
    tables = {"draw_ring": shares, "draw_trend": shares, "draw_step_size": split}
    with pytest.raises(UsageError, match="omniglot, cifar100 of source_mode"):
        getattr(figures, name)(Figure().subplots(), tables[name]())


def test_a_histogram_of_a_table_counts_as_one_of_its_ratios():
    frame, own = table(steps=(100,))
    frame.loc[0, "status"] = "non_finite"
    whole = figures.draw_histogram(Figure().subplots(), frame, own)
    ratios = figures.draw_histogram(
        Figure().subplots(), frame.loc[1:, "loss_ratio"].to_numpy(), own["loss_ratio"].to_numpy(), failed=1
    )
    assert [text.get_text() for text in whole.texts] == [text.get_text() for text in ratios.texts]
    assert heights(whole) == heights(ratios)


@pytest.mark.parametrize("draw", [figures.histogram, figures.matrix])
def test_a_figure_of_pairs_refuses_several_checkpoints(draw):
    with pytest.raises(UsageError, match="100, 200 of checkpoint_step; this figure draws one"):
        draw(table()[0])


@pytest.mark.parametrize("column", ["checkpoint_step", "alpha"])
def test_a_histogram_on_axes_of_ones_own_refuses_several_checkpoints_or_step_sizes(column):
    frame, own = table(steps=(100,))
    twice = lambda rows: pd.concat([rows, rows.assign(**{column: 200})])
    for pairs, selves in ((twice(frame), own), (frame, twice(own))):
        with pytest.raises(UsageError, match=f"of {column}; this figure draws one"):
            figures.draw_histogram(Figure().subplots(), pairs, selves)


WHOLE = {
    "histogram": lambda **on: figures.histogram(table(steps=(100,))[0], **on),
    "training": lambda **on: figures.training(table()[0], **on),
    "trend": lambda **on: figures.trend(shares(steps=(100, 200)), **on),
    "types": lambda **on: figures.types(shares(), **on),
    "ring": lambda **on: figures.types(shares(), ring=True, **on),
    "blocks": lambda **on: figures.blocks(shares(), **on),
    "matrix": lambda **on: figures.matrix(table(steps=(100,))[0], clustered=True, **on),
    "compare": lambda **on: figures.compare(
        contrast(blocks(), blocks(seed=1), draws=20), shares(), shares(seed=1), **on
    ),
    "rows": lambda **on: figures.rows(predicted_rows([combined(block) for block in blocks()][:2]), **on),
    "step_size": lambda **on: figures.step_size(split(), **on),
    "confidence": lambda **on: figures.confidence(confidences(), **on),
    "contact_sheet": lambda **on: figures.contact_sheet([np.zeros((1, 3, 4, 4), np.uint8)], ["ant"], **on),
    "example_sheet": lambda **on: figures.example_sheet([{"a": np.ones((1, 3))}], {"a": "values"}, ["ant"], **on),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_figure_can_be_a_part_of_ones_own(name):
    alone = WHOLE[name]()
    figure = Figure(figsize=(12, 6), layout="constrained")
    left, right = figure.subfigures(1, 2)
    assert WHOLE[name](on=left) is figure
    FigureCanvasAgg(figure).draw()
    assert len(left.axes) == len(alone.axes)
    assert not right.axes
    assert len(left.legends) == len(alone.legends)
