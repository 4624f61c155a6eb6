import base64
import io
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import transference as tr
from tests.strangers import PixelPrototypes
from transference.cli import main
from transference.figures.kinds import KINDS
from transference.report import ReportOptions, _figures, write_report
from transference.report._page import percent, ratio
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
        lookahead=tr.SGD(ALPHAS),
        out=folder,
        device="cpu",
        **{"controls": 0, **more},
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
        if tag not in {"meta", "link", "img", "wbr"}:
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
    assert "240 pairs of tasks, all of them measured" in text
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
    assert "url(" not in page.read_text()
    assert "@import" not in page.read_text()


def test_every_figure_tells_its_numbers_and_brings_its_data(run, page):
    elements = Elements(page.read_text())
    figures = [attributes for tag, attributes in elements.found if tag == "img" and "svg" in attributes["src"]]
    assert len(figures) == n_figures()
    summary = tr.summarise(run.pairs())
    last = summary[(summary["checkpoint_step"] == 10) & (summary["alpha"] == ALPHAS[0])].iloc[0]
    assert f"strokes → strokes: {last['positive']:.0%} positive" in figures[0]["alt"]
    files = {a["download"]: a["href"] for tag, a in elements.found if tag == "a" and "download" in a}
    tables = [pd.read_csv(io.BytesIO(base64.b64decode(href.partition("base64,")[2]))) for href in files.values()]
    assert len(tables) == len(files) == len(figures)
    of_pairs = tables[0]["class"].isin(["positive", "neutral", "negative"])
    assert tables[0].loc[of_pairs, "count"].sum() == 10 * 6, (
        "every pair of one checkpoint and step size is in a bar or beyond the edges"
    )
    assert {"resampled", "random direction"} <= set(tables[0]["class"])
    matrix = tables[-2].set_index("source").to_numpy()
    np.testing.assert_allclose(matrix, run.matrix(10, ALPHAS[0]), rtol=1e-7)


def n_figures():
    """Of a run of several checkpoints and step sizes, without combinations."""
    drawn = [kind for kind in KINDS if kind.name != "rows"]
    return sum(len(kind.in_report) * (1 if kind.every_alpha else len(ALPHAS)) for kind in drawn)


@pytest.mark.usefixtures("without_figures")
def test_the_sources_shown_are_those_of_the_lowest_and_highest_ratios(run, tmp_path):
    result = call(
        "report", run.path, "--target", "shapes:1", "--target", "2", "--alpha", 0.1, "-o", tmp_path / "x.html"
    )
    assert result.exit_code == 0, result.output
    text = (tmp_path / "x.html").read_text()
    shown = re.findall(r'<article class="extremes">.*?</article>\s*</div>\s*</section>\s*</article>', text, re.DOTALL)
    assert [re.search("Target: (.*?)<", card)[1] for card in shown] == ["shapes, task 1", "strokes, task 2"]
    for card, target in zip(shown, (4, 2), strict=True):
        ratios = run.matrix(10, 0.1)[:, target]
        found = [float(value) for value in re.findall(r'<p class="ratio">([\d.]+)', card)]
        expected = [*np.sort(ratios)[:3], *np.sort(ratios)[::-1][:3]]
        np.testing.assert_allclose(found, expected, rtol=2e-3)
        first = int(np.argmin(ratios))
        assert f"{('strokes', 'shapes')[first // 5]}, task {first % 5}" in card
        assert f"at α = 0.01: {ratio(run.matrix(10, 0.01)[first, target])}" in card


@pytest.mark.usefixtures("without_figures")
def test_the_images_are_those_of_the_tasks(run, tmp_path):
    write_report([run], tmp_path / "x.html", ReportOptions(targets=("shapes:1",)))
    text = (tmp_path / "x.html").read_text()
    card = text[text.index("Target: shapes, task 1") :]
    images = re.findall(r'<img src="(data:image/png[^"]+)"', card)
    episode = tr.few_shot("shapes:val", ways=3, shots=2, queries=2, seed=2)[1]
    expected = (episode.support_x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal([pixels(image) for image in images[:6]], expected)
    assert len(images) == 7 * 6
    for name in run.tasks().query("role == 'target' and id == 4")["class_names"].iloc[0]:
        assert f'<span class="name">{name}</span>' in card


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
    assert "each measured with 3 draws of their episodes, all of them measured" in text
    section = text[text.index("<h4>Single pairs</h4>") : text.index("<h3>Figures</h3>")]
    counted = summarise_replicates(several.blocks())
    assert len(re.findall("<tr><td>", section)) == len(counted)
    for row in counted.itertuples():
        counts = ("–" if pd.isna(n) else n for n in (row.single_positive, row.single_negative, row.single_undecided))
        assert "".join(f"<td>{n}</td>" for n in counts) in section
        assert not row.note or row.note.split(":")[0] in section
        assert f"<td>{row.episode:.0%}</td>" in section
    mean = np.exp(np.mean([np.log(several.matrix(10, 0.1, k)[:, 4]) for k in range(3)], axis=0))
    found = [float(value) for value in re.findall(r'<p class="ratio">([\d.]+)', text)]
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
    monkeypatch.setattr("transference.figures._kind.control_bands", lambda controls: wrong)
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
    assert tab.evaluate("document.images.length") == n_figures() + 2 * 7 * 6
    assert tab.evaluate("[...document.images].filter(one => !one.complete || !one.naturalWidth).length") == 0
    assert tab.get_by_role("heading", name="Most positive and most negative transfer").is_visible()
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 29)"
    )
    context.close()
