import base64
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import transference as tr
from tests.strangers import PixelPrototypes
from transference.cli import main
from transference.figures import as_svg
from transference.figures.kinds import KINDS
from transference.pages.tasks import as_picture
from transference.report import ReportOptions, _figures, write_report
from transference.report._page import percent, ratio
from transference.report._vector import compact
from transference.samplers import _drawing
from transference.statistics import summarise_replicates

pytestmark = pytest.mark.slow

ALPHAS = (0.01, 0.1)


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def measured(folder, seed=0, **more):
    """Two checkpoints of a small learner on strokes and shapes, 3-way 2-shot."""
    learner = PixelPrototypes()
    checkpoints = [tr.Checkpoint(learner.init_params(seed + k), step) for k, step in enumerate((5, 10))]
    sources = [tr.few_shot(f"{mode}:val", ways=3, shots=2, queries=2, seed=1) for mode in ("strokes", "shapes")]
    targets = [tr.few_shot(f"{mode}:val", ways=3, shots=2, queries=2, seed=2) for mode in ("strokes", "shapes")]
    return tr.measure(
        learner,
        checkpoints,
        sources,
        targets,
        n_source=5,
        n_target=3,
        out=folder,
        device="cpu",
        **{"controls": 0, "lookahead": tr.SGD(ALPHAS), **more},
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("report") / "run", controls=4)


@pytest.fixture(scope="module")
def page(run):
    out = run.path.parent / "report.html"
    result = call("report", run.path, "-o", out)
    assert (result.exit_code, result.stdout.strip()) == (0, str(out)), result.output
    return out


@pytest.fixture
def without_figures(monkeypatch):
    """Pages that are about something else are made quicker without."""
    monkeypatch.setattr(_figures, "KINDS", ())


class Elements(HTMLParser):
    """What a page is made of: (tag, attributes) in order, and the text of its headings."""

    def __init__(self, text):
        super().__init__()
        self.found, self.headings, self._open = [], [], []
        self.feed(text)
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "img", "wbr", "input"}:
            self._open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((tag, ""))

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and re.fullmatch("h[1-6]", self._open[-1]):
            tag, text = self.headings[-1]
            self.headings[-1] = (tag, text + data)

    def all(self, tag, name):
        return [attributes[name] for found, attributes in self.found if found == tag and name in attributes]


def pixels(address):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,")))))


def test_the_page_holds_what_it_promises(page):
    elements = Elements(page.read_text())
    headings = [text for _, text in elements.headings]
    assert "PixelPrototypes, from strokes and shapes to strokes and shapes" in headings
    for wanted in (
        "How to read it",
        "What was measured",
        "Controls",
        "Summary",
        "Figures",
        "Most positive and most negative transfer",
    ):
        assert wanted in headings
    assert [text for tag, text in elements.headings if tag == "h1"] == ["Positive and negative transfer between tasks"]
    assert len([text for text in headings if text.startswith("Target:")]) == 2
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = elements.all("a", "href")
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    text = page.read_text()
    assert "60 pairs of tasks, 240 ratios over checkpoints and step sizes, all of them measured" in text
    assert "one step of gradient descent of size α = 0.01 and 0.1" in text
    assert run_digest(page) in text


def run_digest(page):
    return tr.open_run(page.parent / "run").spec.digest


def test_the_page_refers_to_nothing_outside(page):
    elements = Elements(page.read_text())
    addresses = [
        value
        for _, attributes in elements.found
        for name, value in attributes.items()
        if name in {"src", "href", "srcset", "action"}
    ]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not {tag for tag, _ in elements.found} & {"script", "iframe", "object", "embed", "form"}
    text = re.sub('data:[^"]*', "", page.read_text())
    assert "url(" not in text
    assert "@import" not in text
    drawings = "".join(re.findall('data:image/svg[^"]*', page.read_text()))
    assert set(re.findall(r"url\(.", drawings)) == {"url(%"}, "a drawing refers to itself alone"


def test_every_figure_tells_its_numbers_and_brings_its_data(run, page):
    elements = Elements(page.read_text())
    figures = [attributes for tag, attributes in elements.found if tag == "img" and "svg" in attributes["src"]]
    assert len(figures) == n_figures()
    summary = tr.summarise(run.pairs())
    last = summary[(summary["checkpoint_step"] == 10) & (summary["alpha"] == ALPHAS[0])].iloc[0]
    assert f"strokes → strokes: {last['positive']:.0%} positive" in figures[0]["alt"]
    files = {a["download"]: a["href"] for tag, a in elements.found if tag == "a" and "download" in a}
    tables = [pd.read_csv(io.BytesIO(unquote_to_bytes(href.partition(",")[2]))) for href in files.values()]
    assert len(tables) == len(files) == len(figures)
    of_pairs = tables[0]["class"].isin(["positive", "neutral", "negative"])
    assert tables[0].loc[of_pairs, "count"].sum() == 10 * 6, (
        "every pair of one checkpoint and step size is in a bar or beyond the edges"
    )
    assert {"resampled", "random direction"} <= set(tables[0]["class"])
    matrix = tables[-2].set_index("source").to_numpy()
    np.testing.assert_allclose(matrix, run.matrix(10, ALPHAS[0]), rtol=1e-7)


def n_figures():
    """Of a run of several checkpoints and step sizes, without combinations and tempered losses."""
    drawn = [kind for kind in KINDS if kind.name not in ("rows", "confidence")]
    return sum(len(kind.in_report) * (1 if kind.every_alpha else len(ALPHAS)) for kind in drawn)


@pytest.mark.usefixtures("without_figures")
def test_the_sources_shown_are_those_of_the_lowest_and_highest_ratios(run, tmp_path):
    result = call(
        "report", run.path, "--target", "shapes:1", "--target", "2", "--alpha", 0.1, "-o", tmp_path / "x.html"
    )
    assert result.exit_code == 0, result.output
    text = (tmp_path / "x.html").read_text()
    shown = text.split('<article class="extremes">')[1:]
    assert [re.search("Target: (.*?)<", card)[1] for card in shown] == ["shapes, task 1", "strokes, task 2"]
    for card, target in zip(shown, (4, 2), strict=True):
        ratios = run.matrix(10, 0.1)[:, target]
        at = card[card.index('<div data-alpha="2">') :]
        found = [float(value) for value in re.findall(r'<p class="ratio">([\d.]+)', at)]
        expected = [*np.sort(ratios)[:3], *np.sort(ratios)[::-1][:3]]
        np.testing.assert_allclose(found, expected, rtol=2e-3)
        first = int(np.argmin(ratios))
        assert f"{('strokes', 'shapes')[first // 5]}, task {first % 5}" in at
        assert f"at α = 0.01: {ratio(run.matrix(10, 0.01)[first, target])}" in at


@pytest.mark.usefixtures("without_figures")
def test_the_images_are_those_of_the_tasks(run, tmp_path):
    write_report([run], tmp_path / "x.html", ReportOptions(targets=("shapes:1",)))
    text = (tmp_path / "x.html").read_text()
    card = text[text.index("Target: shapes, task 1") :]
    images = re.findall(r'<img src="(data:image/png[^"]+)"', card)
    episode = tr.few_shot("shapes:val", ways=3, shots=2, queries=2, seed=2)[1]
    expected = (episode.support_x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal([pixels(image) for image in images[:6]], expected)
    assert len(images) == (1 + 6 * len(ALPHAS)) * 6
    for name in run.tasks().query("role == 'target' and id == 4")["class_names"].iloc[0]:
        assert f'<span class="name">{name}</span>' in card


@pytest.mark.parametrize("channels", [1, 3])
def test_large_images_are_shown_as_small_files(channels):
    x, y = np.meshgrid(np.linspace(0, 1, 84), np.linspace(0, 1, 84))
    smooth = np.stack([np.sin(3 * x + k) * np.cos(4 * y) for k in range(channels)])
    photograph = np.clip(0.5 + 0.4 * smooth + np.random.default_rng(0).normal(0, 0.02, smooth.shape), 0, 1)
    address = as_picture(photograph.astype(np.float32))
    assert address.startswith("data:image/jpeg;base64,")
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))
    expected = (255 * photograph).transpose(1, 2, 0).reshape(shown.shape)
    assert np.abs(shown - expected).mean() < 4
    png = io.BytesIO()
    Image.fromarray(expected.round().astype(np.uint8)).save(png, "PNG")
    assert len(address) < 0.7 * len(png.getvalue())
    assert as_picture(np.zeros((channels, 84, 84), np.float32)).startswith("data:image/png;base64,"), "small as it is"


def test_by_default_each_mode_shows_the_target_that_spreads_most(run, page):
    spread = np.log(run.matrix(10, ALPHAS[0])).std(axis=0)
    strokes, shapes = int(spread[:3].argmax()), int(spread[3:].argmax())
    headings = [text for _, text in Elements(page.read_text()).headings]
    assert [text for text in headings if text.startswith("Target")] == [
        f"Target: strokes, task {strokes}",
        f"Target: shapes, task {shapes}",
    ]


def test_a_target_that_no_run_has_is_told(run, tmp_path):
    result = call("report", run.path, "--target", "shapes:1", "--target", "birds:1", "-o", tmp_path / "x.html")
    assert result.exit_code == 2
    assert "The target birds:1 was asked for, and no run has it" in result.stderr
    assert "strokes, shapes" in result.stderr
    assert not (tmp_path / "x.html").exists()
    result = call("report", run.path, "--alpha", 7, "-o", tmp_path / "x.html")
    assert (result.exit_code, "7.0 was asked for" in result.stderr) == (2, True)


def test_the_same_runs_give_the_same_bytes(run, page):
    again = run.path.parent / "again.html"
    words = [sys.executable, "-m", "transference.cli", "report", str(run.path), "-o", str(again)]
    subprocess.run(
        words,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
    )
    assert again.read_bytes() == page.read_bytes()
    assert not list(page.parent.glob(".*"))


NASTY = ["<script>alert(1)", '"><img src=x onerror=alert(2)>', "{{ 7 * 7 }} & 'so' on"]


def class_folders(root, names, value):
    for c, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for k in range(3):
            noise = np.random.default_rng([value, c, k]).integers(0, 255, (28, 28, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / name / f"{k}.png")


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    """A run on class folders with names that are markup."""
    folder = tmp_path_factory.mktemp("nasty")
    class_folders(folder / "data" / "birds", NASTY, 0)
    tasks = tr.few_shot("birds:all", data_root=folder / "data", ways=3, queries=2, seed=0)
    learner = PixelPrototypes()
    checkpoint = tr.Checkpoint(learner.init_params(0), 1)
    return tr.measure(
        learner,
        checkpoint,
        tasks,
        tasks,
        n_source=3,
        n_target=2,
        lookahead=tr.SGD(0.1),
        controls=0,
        out=folder / "run",
        device="cpu",
    )


@pytest.mark.usefixtures("without_figures")
def test_names_are_text_and_never_markup(nasty, tmp_path):
    write_report([nasty], tmp_path / "<b>.html", ReportOptions(data_root=nasty.path.parent / "data"))
    text = (tmp_path / "<b>.html").read_text()
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "{{ 7 * 7 }} &amp; " in text
    elements = Elements(text)
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]
    assert "No pictures" not in text
    assert len(elements.all("img", "src")) == 3 * (1 + 2), "a target and the two other tasks, which are not itself"


@pytest.mark.usefixtures("without_figures")
def test_without_the_images_the_page_says_so_and_is_made_all_the_same(nasty, tmp_path):
    result = call("report", nasty.path, "-o", tmp_path / "x.html")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "x.html").read_text()
    assert text.count('<p class="warning">No pictures: ') == 1
    assert "give the folder that holds it with --data-root" in text
    assert "&lt;script&gt;alert(1)" in text, "the names of the classes are in the run folder"
    assert "image/png" not in text


@pytest.mark.usefixtures("without_figures")
def test_other_images_under_the_old_name_are_not_shown(nasty, tmp_path):
    class_folders(tmp_path / "data" / "birds", NASTY, 1)
    for side in ([], ["--side", 20]):
        result = call("report", nasty.path, "--data-root", tmp_path / "data", *side, "-o", tmp_path / "x.html")
        assert result.exit_code == 0, result.output
        text = (tmp_path / "x.html").read_text()
        assert "are not those that the run was measured on" in text
        assert "image/png" not in text


@pytest.mark.usefixtures("without_figures")
def test_a_sampler_that_draws_otherwise_is_not_shown(run, tmp_path, monkeypatch):
    others = [[0, 1, 2, 3], [30, 31, 32, 33], [60, 61, 62, 63]]
    monkeypatch.setattr(_drawing.Draws, "rows", lambda self, index, replicate=0: others)
    write_report([run], tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text()
    assert "is not what it was when the run was measured" in text
    assert "image/png" not in text


@pytest.mark.usefixtures("without_figures")
def test_functions_are_drawn_as_points(tmp_path):
    learner = tr.load_learner("regression-maml", {"inner_steps": 1})
    tasks = [tr.open_tasks(f"{family}:test", shots=4, queries=4, seed=0) for family in ("sinusoid", "linear")]
    checkpoint = tr.Checkpoint(learner.init_params(0), 1)
    run = tr.measure(
        learner, checkpoint, tasks, tasks[:1], n_source=3, n_target=1, lookahead=tr.SGD(0.01), out=tmp_path / "run"
    )
    write_report([run], tmp_path / "x.html")
    elements = Elements((tmp_path / "x.html").read_text())
    circles = [attributes for tag, attributes in elements.found if tag == "circle"]
    assert len(circles) == 4 * (1 + 5), "a target and all sources but itself"
    assert all(0 <= float(circle["cx"]) <= 100 and 0 <= float(circle["cy"]) <= 60 for circle in circles)
    first = [float(circle["cx"]) for circle in circles[:4]]
    np.testing.assert_allclose(first, 10 * (tasks[0][0].support_x[:, 0].numpy() + 5), atol=0.01)
    assert tasks[0].describe(0).class_names[0] in (tmp_path / "x.html").read_text()


class Zero(PixelPrototypes):
    """A loss that is zero before every step: no pair has a ratio."""

    def episode_loss(self, params, episode):
        return 0.0 * super().episode_loss(params, episode)


def test_a_run_without_a_single_ratio_has_a_page(sources, targets, tmp_path):
    checkpoint = tr.Checkpoint(Zero().init_params(0), 1)
    run = tr.measure(
        Zero(), checkpoint, sources, targets, n_source=2, n_target=2, lookahead=tr.SGD(0.1), out=tmp_path / "run"
    )
    write_report([run], tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text()
    assert "of which some have no ratio: 4 zero_loss" in text
    assert "nan" not in re.sub('data:[^"]*', "", text).lower().split()


@pytest.mark.usefixtures("without_figures")
def test_runs_of_the_same_tasks_are_compared(run, tmp_path):
    other = measured(tmp_path / "other", seed=7)
    write_report([run, other], tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text()
    headings = [heading for _, heading in Elements(text).headings]
    assert "Runs beside each other" in headings
    assert headings.count("Controls") == 1, "the other has none"
    chosen = {"checkpoint_step": 10, "alpha": 0.1, "source_mode": "shapes", "target_mode": "strokes"}
    last = [[block for block in one.blocks() if chosen.items() <= vars(block).items()] for one in (run, other)]
    table = tr.contrast(*last)
    value = table[table["statistic"] == "geometric_mean"].iloc[0]
    assert f"{ratio(value['value'], value['low'], value['high'])}<small>" in text


@pytest.mark.usefixtures("without_figures")
def test_what_a_comparison_cannot_say_is_a_dash_with_its_reason(run, sources, targets, tmp_path):
    write_report([run, measured(tmp_path / "again")], tmp_path / "x.html")
    assert "all tasks differ alike, which tells nothing of other tasks" in (tmp_path / "x.html").read_text()
    learner = Zero()
    checkpoint = tr.Checkpoint(learner.init_params(0), 1)
    settings = {"n_source": 2, "n_target": 2, "lookahead": tr.SGD(0.1)}
    nothing = [tr.measure(learner, checkpoint, sources, targets, out=tmp_path / name, **settings) for name in "ab"]
    write_report(nothing, tmp_path / "y.html")
    text = re.sub('data:[^"]*', "", (tmp_path / "y.html").read_text())
    assert "no pair has a ratio in both" in text
    assert not re.search(r"\bnan\b", text, flags=re.IGNORECASE)


@pytest.mark.usefixtures("without_figures")
def test_pairs_that_are_not_decided_are_a_dash_with_the_reason(tmp_path):
    run = measured(tmp_path / "run", replicates=2)
    write_report([run], tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text()
    assert "do not tell how skewed their resampling noise is" in text
    assert "&lt;NA&gt;" not in text


@pytest.mark.usefixtures("without_figures")
def test_runs_of_other_tasks_are_not_compared(run, nasty, tmp_path):
    write_report([run, nasty], tmp_path / "x.html", ReportOptions(targets=("shapes:1",)))
    headings = [heading for _, heading in Elements((tmp_path / "x.html").read_text()).headings]
    assert "Runs beside each other" not in headings
    assert next(heading for heading in headings if heading.startswith("Target")) == "Target: shapes, task 1"
    assert sum(heading.startswith("Target") for heading in headings) == 2, (
        "a run without the target shows its own choice"
    )


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("estimator", [tr.FirstOrder(), tr.Calibrated(share=0.5)], ids=["first-order", "calibrated"])
def test_estimates_are_told_to_be_estimates(estimator, tmp_path):
    run = measured(tmp_path / "run", estimator=estimator)
    write_report([run], tmp_path / "x.html")
    headings = [heading for _, heading in Elements((tmp_path / "x.html").read_text()).headings]
    assert "Estimates beside exact pairs" in headings
    assert ("Calibrated by exact pairs" in headings) == isinstance(estimator, tr.Calibrated)
    untrusted = (~tr.check_estimates(run.exact_pairs())["trusted"]).sum()
    assert (tmp_path / "x.html").read_text().count("the step is too large for first order") == untrusted > 0


@pytest.mark.usefixtures("without_figures")
def test_replicates_are_counted_and_decide_which_sources_are_shown(run, page, tmp_path):
    assert "Single pairs" not in page.read_text(), "a run without replicates says nothing of single pairs"
    several = measured(tmp_path / "run", replicates=3)
    write_report([several], tmp_path / "x.html", ReportOptions(targets=("shapes:1",), alpha=0.1))
    text = (tmp_path / "x.html").read_text()
    assert (
        "each measured with 3 draws of their episodes, 240 ratios over checkpoints and step sizes, all of them measured"
        in text
    )
    section = text[text.index("<h4>Single pairs</h4>") : text.index("<h3>Figures</h3>")]
    counted = summarise_replicates(several.blocks())
    assert len(re.findall(r"<tr data-alpha=.\d.><td>", section)) == len(counted)
    for row in counted.itertuples():
        counts = ("–" if pd.isna(n) else n for n in (row.single_positive, row.single_negative, row.single_undecided))
        assert "".join(f"<td>{n}</td>" for n in counts) in section
        assert not row.note or row.note.split(":")[0] in section
        assert f"<td>{row.episode:.0%}</td>" in section
    mean = np.exp(np.mean([np.log(several.matrix(10, 0.1, k)[:, 4]) for k in range(3)], axis=0))
    at = text[text.index('<div data-alpha="2">') :]
    found = [float(value) for value in re.findall(r'<p class="ratio">([\d.]+)', at)]
    np.testing.assert_allclose(found, [*np.sort(mean)[:3], *np.sort(mean)[::-1][:3]], rtol=2e-3)


def test_results_come_first_and_controls_after_them(page):
    headings = re.findall(r"<h3>(.*?)</h3>", page.read_text())
    assert headings == [
        "What was measured",
        "Summary",
        "Figures",
        "Most positive and most negative transfer",
        "Controls",
    ]


def cards(text):
    return re.findall(
        r'<article class="card (\w+)">\s*<p class="ratio">([\d.]+) <span class="\w+">(\w+)</span></p>\s*<p class="note">(.*?)</p>',
        text,
    )


@pytest.mark.usefixtures("without_figures")
def test_a_card_is_grey_and_says_how_it_stands_to_resampling_noise(run, page):
    bands = tr.control_bands(run.controls())
    ends = {
        f"{low:.3f} to {high:.3f}" for low, high in zip(bands["resampled_low"], bands["resampled_high"], strict=True)
    }
    found = cards(page.read_text())
    assert len(found) > 4
    for colour, shown, _, noise in found:
        assert colour == "neutral", "without replicates nothing tells a single pair from noise"
        (told,) = [one for one in ends if one in noise]
        low, high = map(float, told.split(" to "))
        assert ("within" in noise) == (low <= float(shown) <= high)
        assert ("beyond" in noise) == ("replicates would tell" in noise)


@pytest.mark.usefixtures("without_figures")
def test_a_card_has_its_colour_where_replicates_tell_it_from_noise(tmp_path, monkeypatch):
    several = measured(tmp_path / "run", replicates=3)

    def told(blocks, band):
        pairs = tr.single_pairs(blocks, band=band)
        return pairs.assign(transfer=np.where(pairs["geometric_mean"] < 1, "positive", "undecided"))

    monkeypatch.setattr("transference.report._targets.single_pairs", told)
    write_report([several], tmp_path / "x.html")
    found = cards((tmp_path / "x.html").read_text())
    assert {(colour, kind) for colour, _, kind, _ in found if kind == "positive"} == {("positive", "positive")}
    assert {colour for colour, _, kind, _ in found if kind != "positive"} <= {"neutral"}
    assert {noise for colour, _, _, noise in found if colour == "positive"} == {"told from resampling noise by 3 draws"}


def test_controls_are_those_of_the_run(run, page):
    text = page.read_text()
    section = text[text.index("<h3>Controls</h3>") : text.index("<footer>")]
    bands = tr.control_bands(run.controls())
    assert section.count("exactly 1</td>") == len(bands) == 2 * len(ALPHAS) * 4
    assert "did not always" not in section
    for row in bands.itertuples():
        assert (
            f"{ratio(row.resampled_low, row.resampled_high)} to {ratio(row.resampled_high, row.resampled_low)}"
            in section
        )
        assert (
            f"{ratio(row.random_direction_low, row.random_direction_high)} to {ratio(row.random_direction_high, row.random_direction_low)}"
            in section
        )
        assert f"<td>{row.float64:.1e}</td>" in section


@pytest.mark.usefixtures("without_figures")
def test_a_step_of_zero_that_changes_a_loss_is_a_warning(run, tmp_path, monkeypatch):
    wrong = tr.control_bands(run.controls()).assign(zero_exact=False)
    monkeypatch.setattr("transference.figures.requests.control_bands", lambda controls: wrong)
    write_report([run], tmp_path / "x.html")
    assert "A step of size zero did not always give exactly 1" in (tmp_path / "x.html").read_text()


def test_an_unfinished_run_and_no_run_are_told(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    next((tmp_path / "run").rglob("tile-*.parquet")).unlink()
    result = call("report", tmp_path / "run", "-o", tmp_path / "x.html")
    assert (result.exit_code, "is incomplete: 1 of 2 tiles. Repeat the command" in result.stderr) == (1, True), (
        result.output
    )
    (tmp_path / "empty").mkdir()
    result = call("report", tmp_path / "empty", "-o", tmp_path / "x.html")
    assert (result.exit_code, "is no run folder" in result.stderr) == (1, True)
    result = call("report", run.path, "-o", tmp_path / "x.pdf")
    assert (result.exit_code, "ends in .html" in result.stderr) == (2, True)
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize(
    ("value", "others", "text"),
    [
        (0.95, (), "0.950"),
        (1.0, (), "1.000"),
        (1.00031, (), "1.00031"),
        (1.0003, (0.9, 1.1), "1.000"),
        (1234.5, (), "1.23e+03"),
        (np.nan, (), "–"),
    ],
)
def test_ratios_have_the_digits_that_tell_them_from_one(value, others, text):
    assert ratio(value, *others) == text
    assert percent(np.nan) == "–"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_the_page_without_complaint(browser, page, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab, told, asked = context.new_page(), [], []
    tab.on("console", lambda message: told.append(message.text))
    tab.on("pageerror", lambda error: told.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page.as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert not told
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width, "the page itself never scrolls sideways"
    assert tab.evaluate("document.images.length") == n_figures() + 2 * (1 + 6 * len(ALPHAS)) * 6
    assert tab.evaluate("[...document.images].filter(one => !one.complete || !one.naturalWidth).length") == 0
    assert tab.get_by_role("heading", name="Most positive and most negative transfer").is_visible()
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 29)"
    )
    context.close()


def shown_step_sizes(tab, scope="#run-1"):
    """The step sizes, by their number, of which anything in a section is shown."""
    found = tab.locator(f"{scope} [data-alpha]").evaluate_all(
        "all => all.filter(one => one.getClientRects().length).map(one => one.dataset.alpha)"
    )
    return set(found)


@pytest.fixture
def tab(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield context.new_page()
    context.close()


def test_one_step_size_is_shown_at_a_time_and_a_switch_chooses_it(tab, page):
    tab.goto(page.as_uri())
    for kind in ("figure", "tr", ".sides > div"):
        assert tab.locator(f"{kind}[data-alpha='1']").count() == tab.locator(f"{kind}[data-alpha='2']").count() > 0
    assert shown_step_sizes(tab) == {"1"}
    tab.get_by_role("group", name="Step size α").get_by_role("radio", name="0.1", exact=True).check()
    assert shown_step_sizes(tab) == {"2"}
    assert tab.get_by_role("heading", name="Over training, α = 0.1", exact=True).is_visible()
    assert tab.get_by_role("heading", name="First-order part and curvature at checkpoint 10").is_visible(), "is of all"
    tab.keyboard.press("ArrowRight")
    assert tab.get_by_role("radio", name="all").is_checked(), "the keyboard moves within the switch"
    assert shown_step_sizes(tab) == {"1", "2"}
    tab.keyboard.press("ArrowRight")
    assert shown_step_sizes(tab) == {"1"}
    assert tab.locator(".switch label:has(:focus-visible)").evaluate("e => getComputedStyle(e).outlineStyle") == "solid"


def test_paper_has_every_step_size_and_no_switch(tab, page):
    tab.goto(page.as_uri())
    tab.emulate_media(media="print")
    assert shown_step_sizes(tab) == {"1", "2"}
    assert not tab.get_by_role("radio").first.is_visible()


def test_a_link_to_a_figure_shows_it_whatever_the_switch_says(tab, page):
    tab.goto(page.as_uri())
    hidden = tab.locator("figure[data-alpha='2']").first
    assert not hidden.is_visible()
    tab.goto(f"{page.as_uri()}#{hidden.get_attribute('id')}")
    assert hidden.is_visible()
    assert 0 <= hidden.bounding_box()["y"] < 800


@pytest.mark.usefixtures("without_figures")
def test_runs_are_switched_by_themselves_and_one_step_size_needs_no_switch(tab, run, tmp_path):
    several = measured(tmp_path / "several", lookahead=tr.SGD((0.02, 0.05, 0.1)))
    single = measured(tmp_path / "single", lookahead=tr.SGD(0.1))
    write_report([run, several, single], tmp_path / "x.html")
    tab.goto((tmp_path / "x.html").as_uri())
    assert [tab.locator(f"#run-{k} input").count() for k in (1, 2, 3)] == [3, 4, 0]
    assert tab.locator("#run-3 [data-alpha]").count() == 0
    tab.locator("#run-2").get_by_role("radio", name="0.1").check()
    assert (shown_step_sizes(tab), shown_step_sizes(tab, "#run-2")) == ({"1"}, {"3"})
    compared = tab.locator("#comparison table")
    assert compared.count() == 2, "each with the first of the same tasks, at the step sizes in common"
    assert tab.locator("#comparison input").count() == 0, "one step size in common"


@pytest.mark.usefixtures("without_figures")
def test_comparisons_at_several_step_sizes_have_a_switch(tab, run, tmp_path):
    write_report([run, measured(tmp_path / "other", seed=7)], tmp_path / "x.html")
    tab.goto((tmp_path / "x.html").as_uri())
    assert shown_step_sizes(tab, "#comparison") == {"1"}
    tab.locator("#comparison").get_by_role("radio", name="0.1").check()
    assert (shown_step_sizes(tab, "#comparison"), shown_step_sizes(tab)) == ({"2"}, {"1"})


@pytest.mark.usefixtures("without_figures")
def test_step_sizes_that_are_almost_the_same_are_told_apart(tmp_path):
    close = measured(tmp_path / "run", lookahead=tr.SGD((0.1, 0.10000001)))
    write_report([close], tmp_path / "x.html", ReportOptions(alpha=0.10000001))
    text = (tmp_path / "x.html").read_text()
    names = [(chosen, name) for chosen, name in re.findall(r'value="\d"( checked)?> ([\d.]+)<', text)]
    assert names == [("", "0.1"), (" checked", "0.10000001")]
    assert "of size α = 0.1 and 0.10000001 was" in text
    assert set(re.findall(r"<tr data-alpha=.(\d).><td>([\d.]+)</td>", text)) == {("1", "0.1"), ("2", "0.10000001")}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 320])
def test_a_wide_table_scrolls_by_itself_and_a_shadow_says_so(browser, page, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab = context.new_page()
    tab.goto(page.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    table = tab.get_by_role("region", name="Summary at checkpoint 10")
    assert table.evaluate("e => e.scrollWidth > e.clientWidth + 50")
    table.scroll_into_view_if_needed()
    for region in (table, tab.get_by_role("region", name="Loss ratios at checkpoint 10, α = 0.01")):
        ends = [edges(region)]
        region.focus()
        region.evaluate("e => e.scrollTo(e.scrollWidth, 0)")
        ends.append(edges(region))
        assert ends == [(False, True), (True, False)], "a shadow where there is more, and only there"
    assert tab.evaluate("document.activeElement.className") == "scroll", "the keyboard reaches it"
    context.close()


def edges(region):
    """Whether the left and the right edge of what scrolls are in a shadow: their rows without letters and lines."""
    drawn = np.asarray(Image.open(io.BytesIO(region.screenshot())).convert("L")).astype(int)
    return tuple(bool(np.median(np.abs(drawn[:, at] - drawn[:, middle])) > 10) for at, middle in ((2, 25), (-3, -30)))


def test_a_log_tells_how_far_a_report_is(run, tmp_path):
    result = call("report", run.path, "-o", tmp_path / "x.html")
    lines = re.findall(r"(\d+) %, (\d+) of (\d+) part", result.stderr)
    n_parts = 1 + sum(1 if kind.every_alpha else len(ALPHAS) * len(kind.in_report) for kind in KINDS) + 2
    assert lines[-1] == ("100", str(n_parts), str(n_parts))
    assert len(lines) > 5
    quiet = io.StringIO()
    with contextlib.redirect_stderr(quiet):
        write_report([run], tmp_path / "x.html")
    assert not quiet.getvalue()


def test_matrices_of_several_runs_are_on_one_scale(run, tmp_path, monkeypatch):
    other = measured(tmp_path / "other", seed=7)
    tables = [_figures.table_of(one, tr.NEUTRAL_BAND) for one in (run, other)]
    limits = _figures.shared_limits(tables)
    for kind in ("matrix", "blocks"):
        for alpha in ALPHAS:
            drawn = [
                plan.draw(limits[kind, alpha]).figure
                for table in tables
                for plan in _figures.plan_figures(table)
                if (plan.kind.name, plan.alpha) == (kind, alpha)
            ]
            ends = [figure.axes[0].collections[0].norm.vmax for figure in drawn]
            assert len(ends) == 2
            assert ends[0] == pytest.approx(ends[1])
    sizes = [np.quantile(np.abs(np.log(one.matrix(10, 0.1))), 0.98) for one in (run, other)]
    assert np.log(limits["matrix", 0.1]) == pytest.approx(max(sizes))
    assert not _figures.shared_limits(tables[:1]), "one run has its own"
    asked = []
    draw = lambda plan, limit=None: asked.append((plan.kind.name, plan.alpha, limit))
    monkeypatch.setattr(_figures.PlannedFigure, "draw", draw)
    write_report([run, other], tmp_path / "x.html")
    for (kind, alpha), limit in limits.items():
        assert asked.count((kind, alpha, limit)) == 2, "each run's is drawn on it"


def test_sixteen_pairs_of_modes_fit_four_megabytes(tmp_path):
    modes = ("strokes:val", "shapes:val", "textures:val", "strokes:test")
    sources, targets = ([tr.few_shot(mode, ways=5, shots=1, queries=2, seed=seed) for mode in modes] for seed in (1, 2))
    learner = PixelPrototypes()
    several = tr.measure(
        learner,
        [tr.Checkpoint(learner.init_params(step), step) for step in (5, 10, 15)],
        sources,
        targets,
        n_source=8,
        n_target=6,
        lookahead=tr.SGD(ALPHAS),
        controls=2,
        replicates=2,
        out=tmp_path / "run",
        device="cpu",
    )
    write_report([several], tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text()
    assert len(re.findall("image/svg", text)) == n_figures()
    assert len(text.encode()) < 4_000_000


def test_a_drawing_written_shorter_looks_the_same(run, tab, tmp_path):
    table = _figures.table_of(run, tr.NEUTRAL_BAND)
    for plan in _figures.plan_figures(table):
        drawn = plan.draw()
        if drawn is None or plan.alpha == ALPHAS[1]:
            continue
        looks, sizes = [], []
        for svg in (as_svg(drawn.figure), compact(as_svg(drawn.figure)).encode()):
            (tmp_path / "x.svg").write_bytes(svg)
            tab.goto((tmp_path / "x.svg").as_uri())
            looks.append(np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("RGB")).astype(int))
            sizes.append(len(svg))
        assert (looks[0] != looks[0][0, 0]).any()
        assert np.quantile(np.abs(looks[0] - looks[1]), 0.999) < 50, plan.kind.name
        assert np.abs(looks[0] - looks[1]).mean() < 0.1, plan.kind.name
        assert sizes[1] < 0.7 * sizes[0], plan.kind.name


@pytest.mark.parametrize(
    ("path", "shorter"),
    [
        ("M 0 0 \nL 1.004 0 \nL 2.5 0 \nL 2.5 3 \nL 1 4 \nz\n", "M0 0h2.5v3l-1.5 1z"),
        ("M 1 1 \nL 5 1 \nL 3 1 \nL 3 2 \n", "M1 1h4h-2v1"),  # a way back is kept: it was drawn
        ("M 0 0 \nL 1 1 \nz\nM 10000.25 2 \nL 3 2 \n", "M0 0l1 1zM10000.25 2h-9997.25"),
        ("M 1.23456 0 \nQ 2 3.3333 4 5 \nz\n", "M 1.23 0 Q 2 3.33 4 5 z"),
    ],
)
def test_paths_are_written_shorter(path, shorter):
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><path d="{path}"/></svg>'.encode()
    assert re.search(' d="(.*?)"', compact(svg))[1] == shorter
