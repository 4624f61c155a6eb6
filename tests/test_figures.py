"""Figures are looked at by people; these tests hold what an eye would miss."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from transference import figures
from transference.errors import UsageError
from transference.figures._style import COLOURS

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
    own = frame.drop_duplicates(["checkpoint_step", "target"])[["checkpoint_step", "alpha", "target", "target_mode", "status"]]
    own = own.rename(columns={"target_mode": "mode"}).assign(loss_ratio=lambda rows: np.resize([0.7, 0.72, 0.85, 0.9, 1.4], len(rows)))
    return frame, own


def heights(ax):
    """Total height of the bars of each colour."""
    total = lambda kind: sum(
        (p.get_data().values - p.get_data().baseline).sum() for p in ax.patches if to_hex(p.get_facecolor()) == kind.lower()
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
    marks = {line.get_marker(): line.get_xdata().tolist() for line in ax.lines if line.get_marker() not in ("None", None)}
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
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts_of(figure) if text.get_text().strip() and text.get_visible()]
    return [
        (a, b) for k, (a, box) in enumerate(boxes) for b, other in boxes[k + 1 :]
        if min(box.x1, other.x1) - max(box.x0, other.x0) > 1 and min(box.y1, other.y1) - max(box.y0, other.y0) > 1
    ]  # fmt: skip


@pytest.mark.parametrize("modes", [("omniglot",), ("tiny_imagenet", "cifar100"), ("mini_imagenet:train", "mini_imagenet:test"), FIVE])
def test_no_text_overlaps_another(modes):
    frame, own = table(modes=modes, n_source=15, n_target=10, spread=0.2)
    last, last_own = frame[frame["checkpoint_step"] == 200], own[own["checkpoint_step"] == 200]
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    for figure in (figures.histogram(last, last_own), figures.training(frame, own), figures.matrix(last)):
        FigureCanvasAgg(figure)
        assert overlaps(figure) == []


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
