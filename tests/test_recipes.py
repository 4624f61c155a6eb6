"""The recipes of the docs are executed: each where its library is installed, and without one where it needs none."""

import contextlib
import re
import sys
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import transference as tr
from tests.strangers import PixelPrototypes
from tests.test_readme import ROOT, blocks, replaced
from transference.cli import main

RECIPES = (ROOT / "docs" / "recipes.md").read_text()


def section(title):
    return re.split(r"^## ", RECIPES.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


def module_of(title):
    """Return the name of the file that a section names, and its code."""
    text = section(title)
    [code] = [block for language, block in blocks(text) if language == "python"]
    return re.search(r"`(\w+)\.py`", text)[1], code


class Encoder(nn.Module):
    """Stands for what is the reader's own."""

    def __init__(self, out=8):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=3)
        self.head = nn.Linear(4 * 81, out)

    def forward(self, images):
        return self.head(torch.tanh(self.conv(images)).flatten(1))


class Net(Encoder):
    def __init__(self):
        super().__init__(out=5)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with ``losses.py``, and ``myproject`` to be imported; what is imported from it is forgotten."""
    known = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    project = SimpleNamespace(LitEncoder=Encoder, Backbone=Encoder, Net=Net)
    monkeypatch.setitem(sys.modules, "myproject", project)
    name, code = module_of("A loss of prototypes")
    (tmp_path / f"{name}.py").write_text(code)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write_module(title, folder, *pairs):
    name, code = module_of(title)
    (folder / f"{name}.py").write_text(replaced(code, *pairs))
    return name


def compute(name, checkpoint, *options):
    """Measure as the page's command does, on generated tasks."""
    words = f"compute {checkpoint} --learner {name}:make --source strokes:train --target shapes:test --queries 3 --n-source 2 --n-target 2"
    with contextlib.suppress(SystemExit):
        main(
            [*words.split(), "--alpha", "0.001", "--device", "cpu", "--controls", "2", "--out", "run", *options],
            standalone_mode=False,
        )
    run = tr.open_run("run")
    assert (run.pairs()["status"] == "ok").all()
    matrix = run.matrix()
    assert matrix.shape == (2, 2)
    assert (matrix != 1).all()
    return run


def test_lightning_by_the_layout_of_its_files(folder):
    """What ``Trainer.save_checkpoint`` writes, as far as a reader can tell it from others."""
    module = Encoder()
    content = {
        "epoch": 3, "global_step": 4000, "pytorch-lightning_version": "2.6.6", "state_dict": module.state_dict(), "loops": {},
        "callbacks": {}, "optimizer_states": [torch.optim.Adam(module.parameters()).state_dict()], "lr_schedulers": [],
        "hparams_name": "kwargs", "hyper_parameters": {"width": 8},
    }  # fmt: skip
    torch.save(content, folder / "epoch=3-step=4000.ckpt")
    run = compute(write_module("Lightning", folder), "epoch=3-step=4000.ckpt")
    assert run.pairs()["checkpoint_step"].unique() == [4000]


@pytest.mark.filterwarnings("default")
def test_lightning(folder):
    lightning = pytest.importorskip("pytorch_lightning", exc_type=ImportError)

    class LitEncoder(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters()
            self.net = Encoder()

        def forward(self, images):
            return self.net(images)

        def training_step(self, batch, _):
            return self(batch).square().mean()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    sys.modules["myproject"].LitEncoder = LitEncoder
    trainer = lightning.Trainer(
        max_steps=3, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.fit(LitEncoder(), torch.utils.data.DataLoader(torch.rand(12, 3, 28, 28), batch_size=4))
    trainer.save_checkpoint("mine.ckpt")
    run = compute(write_module("Lightning", folder), "mine.ckpt", "--lookahead", "outer")
    assert run.pairs()["checkpoint_step"].unique() == [3]


@pytest.mark.filterwarnings("default")
def test_a_watch_of_lightning(folder, learner, sources, targets):
    lightning = pytest.importorskip("pytorch_lightning", exc_type=ImportError)

    class Training(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            theta = learner.init_params(0)
            self.names, self.values = list(theta), torch.nn.ParameterList(theta.values())

        def state_dict(self, *_, **__):
            return dict(zip(self.names, self.values, strict=True))

        def training_step(self, batch, _):
            return learner.episode_loss(self.state_dict(), sources[int(batch[0])])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    watch = tr.Watch(sources, targets, learner=learner, out="watch", every=2, alpha=1e-3, time_share=1e9, n_source=2)
    trainer = lightning.Trainer(
        max_steps=5, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, callbacks=[watch.callback()],
    )  # fmt: skip
    trainer.fit(Training(), torch.utils.data.DataLoader(torch.arange(5)))
    assert tr.open_run("watch").steps == (2, 4)
    assert tr.verify("watch").complete


@pytest.mark.filterwarnings("default")
def test_learn2learn(folder):
    l2l = pytest.importorskip("learn2learn", exc_type=ImportError)
    torch.save(l2l.algorithms.MAML(Net(), lr=0.05).state_dict(), folder / "maml_20000.pt")
    compute(write_module("learn2learn", folder), "maml_20000.pt")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("engine", ["auto", "threads"])
def test_easyfsl(folder, engine):
    methods = pytest.importorskip("easyfsl.methods", exc_type=ImportError)
    torch.save(methods.PrototypicalNetworks(Encoder()).state_dict(), folder / "easyfsl_5000.pt")
    name = write_module("easyfsl", folder)
    run = compute(name, "easyfsl_5000.pt", "--engine", engine)
    learner = import_module(name).make()
    [before] = {
        loss for (_, target), loss in run.pairs().set_index(["source", "target"])["loss_before"].items() if target == 1
    }
    [episode] = [tr.few_shot("shapes:test", queries=3, seed=run.tasks().query("role == 'target'")["seed"].iloc[0])[1]]
    expected = learner.episode_loss(tr.load_checkpoint("easyfsl_5000.pt").params, episode)
    assert before == pytest.approx(float(expected.detach()), rel=1e-5), (
        "of its own prototypes, whatever stood beside it"
    )


@pytest.mark.filterwarnings("default")
def test_timm(folder):
    timm = pytest.importorskip("timm", exc_type=ImportError)
    torch.save(timm.create_model("test_resnet", num_classes=0).state_dict(), folder / "resnet_0.pt")
    name = write_module("timm", folder, ("resnet10t", "test_resnet"))
    compute(name, "resnet_0.pt")


def test_a_transformer(folder):
    [code] = [block for language, block in blocks(section("A transformer")) if language == "python"]
    names = {}
    exec(replaced(code, ("n_source=20, n_target=10", "n_source=3, n_target=2")), names)
    run = names["run"]
    assert run.matrix().shape == (3, 2)
    assert np.isfinite(run.matrix()).all()
    assert (run.matrix() != 1).all()


def test_duckdb(folder):
    duckdb = pytest.importorskip("duckdb")
    learner = PixelPrototypes()
    tasks = [tr.few_shot(f"{mode}:val", ways=3, queries=2) for mode in ("strokes", "shapes")]
    run = tr.measure(learner, tr.Checkpoint(learner.init_params(0), 7), tasks, tasks, n_source=3, n_target=3, replicates=2,
                     lookahead=tr.SGD((0.1, 0.01)), device="cpu", out=folder / "runs" / "ratios")  # fmt: skip
    names = {"duckdb": duckdb}
    exec(
        next(block for language, block in blocks(section("DuckDB: pairs and their tasks")) if language == "python"),
        names,
    )
    pairs, told = run.pairs().nlargest(10, "loss_ratio"), run.tasks().set_index(["role", "id"])
    np.testing.assert_array_equal(names["worst"]["loss_ratio"], pairs["loss_ratio"])
    assert set(names["worst"]["step"]) == {7}
    assert [list(classes) for classes in names["worst"]["source"]] == [
        list(told.loc["source", k].class_names) for k in pairs["source"]
    ]
    assert list(names["worst"]["target_mode"]) == [told.loc["target", k]["mode"] for k in pairs["target"]]


def test_the_view_of_a_run_is_its_table_in_duckdb(folder, monkeypatch):
    duckdb = pytest.importorskip("duckdb")
    run = small_run(folder / "runs" / "viewed")
    view, expected = (run.path / "pairs.sql").read_text(), run.pairs(None)
    order = "ORDER BY checkpoint_step, alpha, source, target, replicate"
    with duckdb.connect() as connection:
        connection.sql(f"SET VARIABLE run = '{run.path}'")
        connection.sql(view)
        found = connection.sql(f"FROM pairs {order}").df()
        assert set(connection.sql("SELECT typeof(checkpoint_step) AS kind FROM pairs").df()["kind"]) == {"INTEGER"}
    same_table(found, expected)
    monkeypatch.chdir(run.path)
    with duckdb.connect() as connection:
        connection.sql(view)
        same_table(connection.sql(f"FROM pairs {order}").df(), expected)
    same_table(duckdb.sql(f"FROM run {order}").df(), expected)  # the object itself


def small_run(out):
    learner = PixelPrototypes()
    tasks = [tr.few_shot(f"{mode}:val", ways=3, queries=2) for mode in ("strokes", "shapes")]
    checkpoints = [tr.Checkpoint(learner.init_params(step), step) for step in (7, 300)]
    settings = {
        "n_source": 3,
        "n_target": 3,
        "replicates": 2,
        "lookahead": tr.SGD((0.1, 0.01)),
        "controls": 0,
        "device": "cpu",
    }
    return tr.measure(learner, checkpoints, tasks, tasks, out=out, **settings)


def same_table(found, expected):
    assert list(found.columns) == list(expected.columns)
    for name in expected.columns:
        one, other = (
            np.asarray(frame[name].astype(object).where(frame[name].notna(), None)) for frame in (found, expected)
        )
        np.testing.assert_array_equal(one, other, err_msg=name)


def test_polars_takes_a_run_and_its_folder(folder):
    polars = pytest.importorskip("polars")
    run = small_run(folder / "runs" / "polars")
    assert polars.DataFrame(run).columns == list(run.pairs().columns)
    assert polars.scan_parquet(run.path / "pairs").collect_schema()["checkpoint_step"].is_integer()
