import base64
import hashlib
import json
import re
import shlex
import sys
import zlib

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

import transference as tr
from tests.strangers import PixelPrototypes
from transference.cli import main
from transference.explore import _page
from transference.explore._packing import coding, pack

pytestmark = pytest.mark.slow

ALPHAS = (0.01, 0.1)


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def measured(folder, learner=None, sources=(), **more):
    """Two checkpoints of a small learner on strokes and shapes, 3-way 1-shot; the last two sources are targets too."""
    learner = learner or PixelPrototypes()
    checkpoints = [tr.Checkpoint(learner.init_params(k), step) for k, step in enumerate((5, 10))]
    drawn = [tr.few_shot(f"{mode}:val", ways=3, shots=1, queries=2, seed=1) for mode in ("strokes", "shapes")]
    targets = [drawn[1], tr.few_shot("textures:val", ways=3, shots=1, queries=2, seed=2)]
    return tr.measure(
        learner,
        checkpoints,
        sources or drawn,
        targets,
        n_source=6,
        n_target=4,
        out=folder,
        device="cpu",
        **{"controls": 4, "lookahead": tr.SGD(ALPHAS), **more},
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("explore") / "run")


@pytest.fixture(scope="module")
def page(run):
    out = run.path.parent / "matrix.html"
    result = call("explore", run.path, "-o", out)
    assert (result.exit_code, result.stdout.strip()) == (0, str(out)), result.output
    return out


def script(text, name):
    """Return the text of a script element of a page, by its id."""
    return re.search(rf'<script type="[\w/]+" id="{re.escape(name)}">(.*?)</script>', text, re.DOTALL)[1]


def data(text):
    return json.loads(script(text, "data"))


def unpacked(text, dtype):
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.ascontiguousarray(planes.reshape(np.dtype(dtype).itemsize, -1).T).view(dtype)[:, 0]


@pytest.mark.parametrize("dtype", ["<f4", "<f2", "u1", "<u2"])
def test_what_is_packed_comes_back(dtype):
    numbers = np.random.default_rng(0).normal(0, 50, 33).astype(dtype) if "f" in dtype else np.arange(33, dtype=dtype)
    if "f" in dtype:
        numbers[3] = np.nan
    np.testing.assert_array_equal(unpacked(pack(numbers), dtype), numbers)


@pytest.mark.parametrize(("n_cells", "relative"), [(1_000_000, 6e-8), (1_000_001, 2**-11)])
def test_log_ratios_lose_no_more_digits_than_the_page_says(n_cells, relative):
    logs = np.random.default_rng(0).normal(0, 1, 1000) * 10.0 ** np.random.default_rng(1).integers(-9, 2, 1000)
    stored = logs.astype(coding(n_cells)).astype(np.float64)
    assert (np.abs(stored - logs) <= relative * np.abs(logs) + 3e-8).all()


def test_the_page_runs_its_own_script_and_nothing_else(page):
    text = page.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    for kind, content in (
        ("style", re.search("<style>(.*?)</style>", text, re.DOTALL)[1]),
        ("script", last_script(text)),
    ):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert not re.findall("@import|innerHTML|insertAdjacentHTML|document.write|eval\\(|https?://(?!www.w3.org)", text)


def last_script(text):
    return re.findall("<script>(.*?)</script>", text, re.DOTALL)[-1]


def test_the_tables_are_those_of_the_run(run, page):
    text = page.read_text()
    for step in run.steps:
        for alpha in ALPHAS:
            stored = unpacked(script(text, f"log-{step}-{alpha}"), "<f4")
            np.testing.assert_allclose(np.exp(stored.astype(float)), run.matrix(step, alpha).ravel(), rtol=1e-6)
    told = data(text)
    assert told["steps"] == [5, 10]
    last = run.pairs().query("checkpoint_step == 10 and source == 0 and alpha == 0.1").sort_values("target")
    np.testing.assert_allclose(told["losses"]["10"], last["loss_before"], rtol=1e-6)
    bands = tr.control_bands(run.controls()).query("checkpoint_step == 10 and alpha == 0.1")
    here = next(one for one in told["layers"] if (one["step"], one["alpha"]) == (10, 0.1))
    np.testing.assert_allclose(np.reshape(here["noise"], (-1, 2)), bands[["resampled_low", "resampled_high"]])
    assert told["same"] == [[False, False], [False, False]], "of as many tasks only"
    assert sorted(told["clusters"]["sources"]) == list(range(12))


def test_the_same_run_gives_the_same_page(run, page):
    assert tr.Explorer(run).page == page.read_text()


def test_checkpoints_and_step_sizes_are_chosen_and_others_are_told(run, tmp_path):
    result = call("explore", run.path, "--step", 10, "--alpha", 0.1, "-o", tmp_path / "x.html")
    assert result.exit_code == 0, result.output
    told = data((tmp_path / "x.html").read_text())
    assert (told["steps"], told["alphas"]) == ([10], [0.1])
    for words, why in ((["--step", 7], "no checkpoint at step 7"), (["--alpha", 7], "7.0 was asked for")):
        result = call("explore", run.path, *words, "-o", tmp_path / "y.html")
        assert (result.exit_code, why in result.stderr) == (2, True), result.output
    result = call("explore", run.path, "-o", tmp_path / "y.png")
    assert (result.exit_code, "ends in .html" in result.stderr) == (2, True)
    assert not list(tmp_path.glob("y.*"))


def test_what_does_not_fit_is_left_out_and_said(run, monkeypatch):
    whole = tr.Explorer(run).page
    one = len(script(whole, "log-10-0.01")) + len(script(whole, "log-10-0.1"))
    monkeypatch.setattr(_page, "_ROOM", one + 10)
    small = tr.Explorer(run).page
    assert data(small)["steps"] == [10]
    assert "left out: the checkpoints 5; --step chooses others" in small
    assert "left out: first-order parts at checkpoint 10" in small
    assert "would make the page too large" in data(small)["noPictures"]
    monkeypatch.setattr(_page, "_ROOM", 10)
    with pytest.raises(tr.errors.UsageError, match="too many for one page. Choose one step size by --alpha"):
        tr.Explorer(run)


def test_replicates_tell_what_they_tell_elsewhere(tmp_path):
    run = measured(tmp_path / "run", replicates=5, lookahead=tr.SGD(0.1), controls=0)
    text = run.explore(steps=(10,)).page
    names = {
        "mean": "<f4",
        "low": "<f4",
        "high": "<f4",
        "q": "<f4",
        "verdict": "u1",
        "n_positive": "u1",
        "n_known": "u1",
    }
    found = {name: unpacked(script(text, f"{name}-10-0.1"), kind).reshape(12, 8) for name, kind in names.items()}
    pairs = tr.single_pairs(run.blocks(10))
    blocks = [(0, 6, 0, 4), (0, 6, 4, 8), (6, 12, 0, 4), (6, 12, 4, 8)]
    logs = np.log([run.matrix(10, 0.1, replicate) for replicate in range(5)])
    np.testing.assert_allclose(found["mean"], logs.mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(found["n_positive"], (logs < 0).sum(axis=0))
    np.testing.assert_array_equal(found["n_known"], 5)
    for name, column in (("low", "low"), ("high", "high")):
        cells = np.concatenate([found[name][a:b, c:d].ravel() for a, b, c, d in blocks])
        np.testing.assert_allclose(np.exp(cells), pairs[column], rtol=1e-5)
    verdicts = np.concatenate([found["verdict"][a:b, c:d].ravel() for a, b, c, d in blocks])
    assert [data(text)["verdicts"][k] for k in verdicts] == pairs["transfer"].tolist()


class Fixed:
    """Tasks of a mode whose images cannot be drawn anew."""

    def __init__(self, mode):
        self.mode, self._tasks = f"fixed {mode}", tr.few_shot(f"{mode}:val", ways=3, shots=1, queries=2, seed=1)
        self.name = f"fixed/{self._tasks.name}"

    def __getitem__(self, index):
        return self._tasks[index]


def test_a_run_whose_controls_tell_no_noise_says_so(run, tmp_path):
    strokes = tr.few_shot("strokes:val", ways=3, shots=1, queries=2, seed=1)
    fixed = measured(tmp_path / "fixed", sources=[strokes, Fixed("shapes")])
    assert "no control of resampled images, nor replicates" in _page.build_page(fixed, _page.ExploreOptions())
    assert "no cell is drawn faint" not in _page.build_page(run, _page.ExploreOptions())


def test_estimates_are_said_to_be_estimates(tmp_path):
    run = measured(tmp_path / "run", estimator=tr.Calibrated(checked=4), lookahead=tr.SGD(0.01), controls=0)
    assert "are estimates (calibrated)" in tr.Explorer(run).page


def test_the_command_of_a_pair_measures_it_again(monkeypatch, tmp_path):
    def called(words):
        monkeypatch.setattr(sys, "argv", ["transference", *map(str, words)])  # what a run notes as its command
        return CliRunner().invoke(main, sys.argv[1:], catch_exceptions=False)

    tr.save_checkpoint(tr.Checkpoint(PixelPrototypes().init_params(0), 3), tmp_path / "a net.pt")
    words = ["compute", tmp_path / "a net.pt", "--learner", "tests.strangers:PixelPrototypes", "--source=strokes:val",
             "--source", "shapes:val", "--target", "textures:val", "--combine", "sum", "--n-source", "3", "--n-target=3", "--ways", "3",
             "--queries", "2", "--alpha", "0.01", "--device", "cpu", "--json", "--out", tmp_path / "a run"]  # fmt: skip
    assert called(words).exit_code == 0
    run = tr.open_run(tmp_path / "a run")
    command = data(tr.Explorer(run).page)["command"]
    for mode, source in ((1, 4), (2, 7)):
        text = f"{command['start']} {command['sources'][mode]} --n-source 2 {command['targets'][0]} --n-target 3 {command['end']}"
        again = [*shlex.split(text)[1:-1], str(tmp_path / f"again {mode}")]
        assert shlex.split(text)[-1] == f"{run.path}-pair"
        assert called(again).exit_code == 0
        np.testing.assert_allclose(
            tr.open_run(tmp_path / f"again {mode}").matrix()[-1, -1], run.matrix()[source, 2], rtol=1e-5
        )


class Opened:
    """A page in a browser, with all that it complained of and asked for."""

    def __init__(self, browser, address, width=1280, scheme="light", **settings):
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **settings)
        self.tab, self.told, self.asked = self.context.new_page(), [], []
        self.tab.on("console", lambda message: self.told.append(message.text))
        self.tab.on("pageerror", lambda error: self.told.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.goto(address)
        self.tab.wait_for_selector("html[data-ready]", state="attached")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.context.close()
        readback = "Canvas2D: Multiple readback"  # which is the tests' own
        assert error[0] or not [text for text in self.told if not text.startswith(readback)]

    def at(self, row, column, n_rows=12, n_columns=8):
        """Return the place on the screen of the middle of a cell, by its place in the whole matrix."""
        box = self.tab.locator("#marks").bounding_box()
        w, h = box["width"] - 46, box["height"] - 46
        return box["x"] + 46 + (column + 0.5) / n_columns * w, box["y"] + 46 + (row + 0.5) / n_rows * h

    def text(self, selector):
        return self.tab.locator(selector).text_content()

    def picture(self):
        return self.tab.evaluate("['cells', 'marks'].map(id => document.getElementById(id).toDataURL())")

    def pixel(self, place):
        box = self.tab.locator("#cells").bounding_box()
        script = "([x, y]) => [...document.getElementById('cells').getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)"
        return tuple(self.tab.evaluate(script, [place[0] - box["x"], place[1] - box["y"]]))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_without_complaint_and_without_a_network(browser, page, width, scheme):
    with Opened(browser, page.as_uri(), width, scheme) as opened:
        assert [url for url in opened.asked if not url.startswith("data:")] == [page.as_uri()]
        assert opened.tab.evaluate("document.documentElement.scrollWidth") <= width
        opened.tab.mouse.click(*opened.at(2, 5))
        assert opened.tab.evaluate("[...document.images].filter(one => !one.naturalWidth).length") == 0
        assert opened.tab.evaluate("document.images.length") == 6, "three classes of source and target"
        assert opened.tab.locator("#pair").bounding_box()["width"] <= width


def shown_ratio(text):
    return float(re.search(r"LR ([\d.]+)", text)[1])


def test_what_is_pointed_at_is_told_as_the_table_has_it(browser, run, page):
    pairs = run.pairs().query("checkpoint_step == 10 and alpha == 0.01").set_index(["source", "target"])
    with Opened(browser, page.as_uri()) as opened:
        for source, target in ((0, 0), (5, 7), (7, 1), (11, 4)):
            opened.tab.mouse.move(*opened.at(source, target))
            told = opened.text("#told")
            row = pairs.loc[source, target]
            assert shown_ratio(told) == pytest.approx(row["loss_ratio"], abs=6e-4)
            assert f"{row['source_mode']} {source % 6} → {row['target_mode']} {target % 4}" in told
            assert ("a task on itself" in told) == ((source, target) == (7, 1))
            first = float(re.search("first-order part ([−+][\\d.e]+)", told)[1].replace("−", "-"))
            assert first == pytest.approx(row["first_order"], rel=6e-3)
        opened.tab.mouse.click(*opened.at(5, 7))
        facts = opened.text("#pair-facts")
        losses = [float(x) for x in re.search(r"loss before ([\d.]+), after ([\d.]+)", facts).groups()]
        np.testing.assert_allclose(losses, pairs.loc[(5, 7), ["loss_before", "loss_after"]].astype(float), rtol=1e-3)
        assert "reopen_tasks" in opened.text("#pair-command")


def test_replicates_are_told_of_the_pair_that_is_pointed_at(browser, tmp_path):
    run = measured(tmp_path / "run", replicates=5, lookahead=tr.SGD(0.1), controls=0)
    run.explore().save(tmp_path / "x.html")
    logs = np.log([run.matrix(10, 0.1, replicate)[3, 5] for replicate in range(5)])
    block = [block for block in run.blocks(10) if (block.source_mode, block.target_mode) == ("strokes", "textures")]
    pair = tr.single_pairs(block).query("source_index == 3 and target_index == 1").iloc[0]
    with Opened(browser, (tmp_path / "x.html").as_uri()) as opened:
        opened.tab.mouse.move(*opened.at(3, 5))
        told = opened.text("#told")
        assert (
            f"in 5 replicates: {(logs < 0).sum()} positive, {(logs >= np.log(tr.NEUTRAL_BAND[1])).sum()} negative"
            in told
        )
        shown = re.search(r"over draws ([\d.]+), 95 % interval ([\d.]+) to ([\d.]+)", told).groups()
        np.testing.assert_allclose(
            np.array(shown, float), pair[["geometric_mean", "low", "high"]].astype(float), atol=6e-4
        )
        assert ("its sign is not told" in told) == (pair["transfer"] == "undecided")


def test_sliders_and_orders_show_what_they_say(browser, run, page):
    with Opened(browser, page.as_uri()) as opened:
        opened.tab.locator("#alpha").fill("1")
        opened.tab.locator("#step").fill("0")
        opened.tab.locator("#sort").select_option("mean")
        order = np.argsort(np.log(run.matrix(5, 0.1)).mean(axis=1))
        for row in (0, 5, 11):
            opened.tab.mouse.move(*opened.at(row, 3))
            assert shown_ratio(opened.text("#told")) == pytest.approx(run.matrix(5, 0.1)[order[row], 3], abs=6e-4)
        opened.tab.locator("#sort").select_option("cluster")
        clusters = data(page.read_text())["clusters"]
        opened.tab.mouse.move(*opened.at(3, 6))
        expected = run.matrix(5, 0.1)[clusters["sources"][3], clusters["targets"][6]]
        assert shown_ratio(opened.text("#told")) == pytest.approx(expected, abs=6e-4)


def test_cells_within_the_noise_are_greyed_until_asked_not_to(browser, run, page):
    bands = tr.control_bands(run.controls()).query("checkpoint_step == 10 and alpha == 0.01")
    matrix, modes = run.matrix(10, 0.01), ["shapes", "textures"]
    within = {
        (source, target): bool(
            band.query("source_mode == @a and target_mode == @b")
            .eval("resampled_low <= @ratio <= resampled_high")
            .all()
        )
        for band in [bands]
        for (source, target), ratio in np.ndenumerate(matrix)
        for a, b in [(("strokes", "shapes")[source // 6], modes[target // 4])]
    }
    with Opened(browser, page.as_uri()) as opened:
        greyed = {cell: opened.pixel(opened.at(*cell)) for cell in within}
        opened.tab.locator("#faint").uncheck()
        opened.tab.wait_for_timeout(100)
        changed = {cell: opened.pixel(opened.at(*cell)) != before for cell, before in greyed.items()}
        assert changed == within
        assert sum(within.values()) > 0


def test_the_address_brings_back_what_was_shown(browser, page):
    with Opened(browser, page.as_uri()) as opened:
        opened.tab.locator("#alpha").fill("1")
        opened.tab.locator("#sort").select_option("cluster")
        opened.tab.locator("#faint").uncheck()
        opened.tab.locator("#marks").focus()
        for key in ("ArrowDown", "ArrowDown", "ArrowRight", "Shift+ArrowDown", "Shift+ArrowDown", "+", "+"):
            opened.tab.keyboard.press(key)
        opened.tab.wait_for_timeout(400)
        address, told, rows = opened.tab.url, opened.text("#told"), opened.tab.input_value("#brush-list")
        picture = opened.picture()
    assert "#step=10&alpha=0.1&sort=cluster&faint=0&view=" in address
    with Opened(browser, address) as again:
        again.tab.locator("#marks").focus()
        assert (again.text("#told"), again.tab.input_value("#brush-list")) == (told, rows)
        assert again.picture() == picture
        assert again.tab.locator("#alpha").input_value() == "1"
    nonsense = page.as_uri() + "#step=3&alpha=x&sort=__proto__&view=nan,1&cell=99,-1&rows=5-2,x,100"
    with Opened(browser, nonsense) as opened:
        assert opened.tab.locator("#step").input_value() == "1"
        assert opened.tab.locator("#brush").is_hidden()


def test_keys_open_close_and_clear(browser, page):
    with Opened(browser, page.as_uri()) as opened:
        opened.tab.locator("#marks").focus()
        opened.tab.keyboard.press("ArrowRight")
        assert opened.text("#told").startswith("strokes 0 → shapes 0")
        opened.tab.keyboard.press("ArrowRight")
        opened.tab.keyboard.press("Enter")
        assert opened.text("#pair-title") == "strokes 0 → shapes 1"
        assert opened.tab.locator("#pair").is_visible()
        opened.tab.keyboard.press("Escape")
        assert opened.tab.locator("#pair").is_hidden()
        opened.tab.keyboard.press("ArrowDown")
        assert opened.text("#told").startswith("strokes 1 → shapes 1"), "the matrix has the focus again"
        opened.tab.keyboard.press("Escape")
        assert opened.text("#told").startswith("Point at a cell")


@pytest.mark.parametrize("how", ["margin", "shift"])
def test_chosen_rows_have_means_with_intervals_and_become_a_list(browser, run, page, how):
    from scipy import stats

    with Opened(browser, page.as_uri()) as opened:
        (_, first), (_, last) = opened.at(5, 0), opened.at(7, 0)
        x = opened.tab.locator("#marks").bounding_box()["x"] + (20 if how == "margin" else 200)
        if how == "shift":
            opened.tab.keyboard.down("Shift")
        opened.tab.mouse.move(x, first)
        opened.tab.mouse.down()
        opened.tab.mouse.move(x, last, steps=4)
        opened.tab.mouse.up()
        assert opened.text("#brush-title") == "3 source tasks"
        copied = opened.tab.input_value("#brush-list")
        assert copied == "--source strokes:5 --source shapes:0 --source shapes:1"
        out = page.parent / f"{how}.csv"
        result = call("export", run.path, out, *shlex.split(copied))
        assert result.exit_code == 0, result.output
        assert sorted(pd.read_csv(out)["source"].unique()) == [5, 6, 7]
        assert opened.tab.locator("#pair").is_hidden()
        logs = np.log(run.matrix(10, 0.01))
        logs[6 + np.arange(4), np.arange(4)] = np.nan  # a task on itself
        for name, columns in (("shapes", slice(0, 4)), ("textures", slice(4, 8))):
            each = np.nanmean(logs[5:8, columns], axis=0)
            ends = stats.t.interval(0.95, 3, each.mean(), stats.sem(each))
            told = opened.tab.locator("#brush-means li", has_text=name).text_content()
            shown = [float(number) for number in re.findall(r"\d+\.\d+", told.replace("95 %", ""))]
            np.testing.assert_allclose(shown, np.exp([each.mean(), *ends]), rtol=1e-3)


def test_a_finger_points_first_and_opens_with_the_second_tap(browser, page):
    with Opened(browser, page.as_uri(), 390, has_touch=True, is_mobile=True) as opened:
        place = opened.at(4, 3)
        opened.tab.touchscreen.tap(*place)
        assert opened.text("#told").startswith("strokes 4 → shapes 3")
        assert opened.tab.locator("#pair").is_hidden()
        opened.tab.wait_for_timeout(400)
        opened.tab.touchscreen.tap(*place)
        assert opened.tab.locator("#pair").is_visible()


class Failing(PixelPrototypes):
    """Its loss is 0 on every other episode: those pairs have no ratio."""

    def episode_loss(self, params, episode):
        loss = super().episode_loss(params, episode)
        left, right = (float(half.mean()) for half in episode.query_x.chunk(2, dim=3))
        return loss * (left < right)


def test_cells_without_a_ratio_are_yellow_and_say_why(browser, tmp_path):
    run = measured(tmp_path / "run", Failing(), lookahead=tr.SGD(0.1))
    run.explore().save(tmp_path / "x.html")
    missing = np.argwhere(np.isnan(run.matrix()))
    assert 0 < len(missing) < run.matrix().size
    with Opened(browser, (tmp_path / "x.html").as_uri()) as opened:
        opened.tab.mouse.move(*opened.at(*missing[0]))
        assert "no ratio: zero_loss" in opened.text("#told")
        assert opened.pixel(opened.at(*missing[0])) == (0xF0, 0xE4, 0x42)


NASTY = [
    "<script>document.title='hostile'</script>",
    '"><img src=x onerror=document.title="hostile">',
    "</script><b>{{ 7 * 7 }} & $&",
]


def test_names_are_text_and_never_markup(browser, tmp_path):
    for c, name in enumerate(NASTY):
        folder = tmp_path / "data" / "birds" / name.replace("/", "\u2215")
        folder.mkdir(parents=True)
        for k in range(3):
            noise = np.random.default_rng([c, k]).integers(0, 255, (28, 28, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / f"{k}.png")
    tasks = tr.few_shot("birds:all", data_root=tmp_path / "data", ways=3, queries=2, seed=0)
    learner = PixelPrototypes()
    checkpoint = tr.Checkpoint(learner.init_params(0), 1)
    out = tmp_path / "<b>&"
    run = tr.measure(
        learner, checkpoint, tasks, tasks, n_source=3, n_target=3, lookahead=tr.SGD(0.1), controls=0, out=out
    )
    page = run.explore(data_root=tmp_path / "data")
    page.save(tmp_path / "x.html")
    assert page.page.count("<script") == len(re.findall('<script type="text/plain"', page.page)) + 3
    with Opened(browser, (tmp_path / "x.html").as_uri()) as opened:
        opened.tab.mouse.click(*opened.at(0, 1, 3, 3))
        classes = opened.tab.locator("#pair-tasks .class span").all_text_contents()
        assert set(classes) == {name.replace("/", "\u2215") for name in NASTY}
        assert opened.tab.evaluate("document.images.length") == 6
        assert "hostile" not in opened.tab.title()
        assert not opened.tab.locator("#pair-tasks b").count()


def test_functions_are_drawn_as_points(browser, tmp_path):
    learner = tr.load_learner("regression-maml", {"inner_steps": 1})
    tasks = tr.open_tasks("sinusoid:test", shots=4, queries=4, seed=0)
    checkpoint = tr.Checkpoint(learner.init_params(0), 1)
    run = tr.measure(
        learner, checkpoint, tasks, tasks, n_source=3, n_target=2, lookahead=tr.SGD(0.01), out=tmp_path / "run"
    )
    run.explore().save(tmp_path / "x.html")
    with Opened(browser, (tmp_path / "x.html").as_uri()) as opened:
        opened.tab.mouse.click(*opened.at(1, 0, 3, 2))
        assert opened.tab.locator("#pair-tasks circle").count() == 8


def test_combinations_are_source_modes_too(browser, tmp_path):
    run = measured(tmp_path / "run", combine={"sum": tr.Sum()}, lookahead=tr.SGD(0.1), controls=0)
    run.explore().save(tmp_path / "x.html")
    with Opened(browser, (tmp_path / "x.html").as_uri()) as opened:
        opened.tab.mouse.click(*opened.at(13, 6, n_rows=18))
        assert opened.text("#pair-title") == "sum 1 → textures 2"
        assert shown_ratio(opened.text("#told")) == pytest.approx(run.matrix(10)[13, 6], abs=6e-4)
        assert opened.tab.locator("#pair-again").is_hidden(), "no call measures a single combination"


def test_a_single_pair_without_a_ratio_has_a_page(browser, sources, tmp_path):
    class Zero(PixelPrototypes):
        def episode_loss(self, params, episode):
            return 0.0 * super().episode_loss(params, episode)

    checkpoint = tr.Checkpoint(Zero().init_params(0), 1)
    run = tr.measure(
        Zero(),
        checkpoint,
        sources,
        sources,
        n_source=1,
        n_target=1,
        lookahead=tr.SGD(0.1),
        controls=0,
        out=tmp_path / "run",
    )
    run.explore().save(tmp_path / "x.html")
    with Opened(browser, (tmp_path / "x.html").as_uri()) as opened:
        opened.tab.mouse.click(*opened.at(0, 0, 1, 1))
        assert "no ratio: zero_loss, a task on itself" in opened.text("#pair-facts")
        assert "loss before 0.000, after –" in opened.text("#pair-facts")


def test_a_browser_that_cannot_unpack_is_told(browser, page):
    tab = browser.new_page()
    tab.add_init_script("delete window.DecompressionStream")
    tab.goto(page.as_uri())
    tab.wait_for_selector("#broken:visible")
    assert "take one of 2023 or later" in tab.locator("#broken").text_content()
    tab.close()


def test_a_notebook_shows_it_in_a_frame_of_its_own(browser, run, tmp_path):
    frame = run.explore(steps=(10,))._repr_html_()
    (tmp_path / "notebook.html").write_text(f"<!doctype html><meta charset=utf-8><title>ours</title>{frame}")
    tab = browser.new_page()
    told = []
    tab.on("console", lambda message: told.append(message.text))
    tab.on("pageerror", lambda error: told.append(str(error)))
    tab.goto((tmp_path / "notebook.html").as_uri())
    inside = tab.frame_locator("iframe")
    inside.locator("html[data-ready]").wait_for(state="attached")
    inside.locator("#marks").click()
    assert inside.locator("#pair").is_visible()
    tab.wait_for_timeout(300)
    assert not told
    tab.close()
