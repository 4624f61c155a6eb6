"""Files of other programs: a prefix before every name, a head too many, a state_dict under some key, objects."""

import argparse
import collections
import json
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import nn

import transference as tr
from tests.conftest import random_episode
from transference.cli import main
from transference.errors import CheckpointError, LearnerError
from transference.learners import check_pure, fitted

PREFIXES = ["module.", "_orig_mod.", "net.", "backbone.", "model.", "module._orig_mod.", "encoder.online."]
SMALL = {"n_source": 2, "n_target": 2, "precision": "fp64", "device": "cpu", "controls": 0}


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 5, stride=4), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)

    def forward(self, x):
        return self.fc(torch.tanh(self.norm(self.conv(x))))


def prototypes(embed, episode):
    support, query = embed(episode.support_x).flatten(1), embed(episode.query_x).flatten(1)
    ways = int(episode.support_y.max()) + 1
    centres = torch.stack([support[episode.support_y == k].mean(0) for k in range(ways)])
    return F.cross_entropy(-(query[:, None] - centres).square().sum(-1), episode.query_y)


def body(seed=0):
    torch.manual_seed(seed)
    return Body()


def make():
    return tr.ModuleLearner(body(1), prototypes)


def prefixed(prefix, tensors):
    return {prefix + name: value for name, value in tensors.items()}


def save(path, content):
    torch.save(content, path)
    return path


def train_steps(named, kind="adam", by_name=False):
    """Three updates of all these parameters; the optimizer's own state_dict."""
    leaves = {name: value for name, value in named if value.requires_grad}
    makers = {
        "adam": lambda p: torch.optim.Adam(p, lr=0.01),
        "momentum": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9),
    }
    optimizer = makers[kind](list(leaves.items()) if by_name else list(leaves.values()))
    for k in range(3):
        optimizer.zero_grad()
        sum((value * (j + k + 1)).sin().sum() for j, value in enumerate(leaves.values())).backward()
        optimizer.step()
    return optimizer.state_dict()


def invoke(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def compute(path, out, *words, learner="tests.test_checkpoint_names:make"):
    return invoke(
        "compute",
        path,
        "--learner",
        learner,
        "--source",
        "strokes:train",
        "--target",
        "strokes:test",
        "--ways",
        2,
        "--queries",
        2,
        "--n-source",
        2,
        "--n-target",
        2,
        "--controls",
        0,
        "--device",
        "cpu",
        "--precision",
        "fp64",
        "--engine",
        "loop",
        "--out",
        out,
        *words,
    )


# Prefixes


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_of_all_names_is_recognised(tmp_path, prefix):
    state = body().state_dict()
    plain = tr.load_checkpoint(save(tmp_path / "plain_1.pt", state))
    found = fitted(make(), tr.load_checkpoint(save(tmp_path / "wrapped_1.pt", prefixed(prefix, state))))
    assert (found.stripped, plain.stripped) == (prefix, "")
    assert found.digest == fitted(make(), plain).digest == plain.digest
    asked = tr.load_checkpoint(tmp_path / "wrapped_1.pt", strip_prefix=prefix)
    assert (asked.digest, asked.stripped) == (plain.digest, prefix)


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("--strip-prefix", "module._orig_mod.")], ids=["recognised", "asked for"])
def test_names_that_differ_by_a_prefix_give_the_same_numbers(tmp_path, words):
    state = body().state_dict()
    for name, tensors in (("plain", state), ("wrapped", prefixed("module._orig_mod.", state))):
        save(tmp_path / f"{name}_1.pt", {"state_dict": tensors})
        done = compute(
            tmp_path / f"{name}_1.pt", tmp_path / name, *(words if name == "wrapped" else ()), "--alpha", 1e-4
        )
        assert done.exit_code == 0, done.output
    assert "'module._orig_mod.'" in done.stderr
    assert f"all names ({len(state)} tensors)" in done.stderr
    plain, wrapped = (tr.open_run(tmp_path / name) for name in ("plain", "wrapped"))
    np.testing.assert_allclose(wrapped.matrix(), plain.matrix(), rtol=1e-12)
    assert wrapped.spec.digest == plain.spec.digest
    assert wrapped.about()["checkpoints"][0]["stripped"] == "module._orig_mod."
    assert "stripped" not in plain.about()["checkpoints"][0]


def test_a_prefix_that_the_learner_knows_is_left(tmp_path):
    """Its names begin with net., and so do those of the file."""

    class Held(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = body()

        def forward(self, x):
            return self.net(x)

    learner = tr.ModuleLearner(Held(), prototypes)
    loaded = tr.load_checkpoint(save(tmp_path / "net_1.pt", prefixed("net.", body().state_dict())))
    assert fitted(learner, loaded) is loaded
    twice = tr.load_checkpoint(save(tmp_path / "ddp_1.pt", prefixed("module.net.", body().state_dict())))
    assert fitted(learner, twice).stripped == "module."


def theta_error(learner, checkpoint):
    with pytest.raises(LearnerError) as refused:
        tr.learners.theta(learner, fitted(learner, checkpoint))
    return str(refused.value)


def test_what_only_some_names_begin_with_is_asked_about(tmp_path):
    state = body().state_dict()
    content = {**prefixed("net.", state), "criterion.weight": torch.ones(3), "criterion.bias": torch.ones(3)}
    path = save(tmp_path / "net_1.pt", content)
    told = theta_error(make(), tr.load_checkpoint(path))
    assert "It fits with --strip-prefix net. --ignore 'criterion.*'" in told
    asked = tr.load_checkpoint(path, strip_prefix="net.", ignore=["criterion.*"])
    assert asked.params.keys() == state.keys()
    assert asked.ignored == ("criterion.weight", "criterion.bias")
    tr.learners.theta(make(), asked)
    with pytest.raises(CheckpointError, match=r"2 of 11 do not begin with it: criterion\.weight"):
        tr.load_checkpoint(path, strip_prefix="net.")


def test_two_models_that_fit_are_asked_about(tmp_path):
    state = body().state_dict()
    path = save(tmp_path / "moco_1.pt", prefixed("encoder_q.", state) | prefixed("encoder_k.", state))
    told = theta_error(make(), tr.load_checkpoint(path))
    assert (
        "--strip-prefix encoder_q. --ignore 'encoder_k.*' or with --strip-prefix encoder_k. --ignore 'encoder_q.*'"
        in told
    )


def test_a_prefix_that_is_not_there_is_told(tmp_path):
    path = save(tmp_path / "net_1.pt", body().state_dict())
    for prefix in ("module.", ""):
        with pytest.raises(CheckpointError, match="has no name that begins with"):
            tr.load_checkpoint(path, strip_prefix=prefix)
    path = save(tmp_path / "ddp_1.pt", prefixed("module.", body().state_dict()))
    with pytest.raises(CheckpointError, match=r"with its dot, --strip-prefix module\."):
        tr.load_checkpoint(path, strip_prefix="module")


def test_frozen_names_and_overlaps_follow():
    weight = torch.ones(3, 3)
    checkpoint = tr.Checkpoint(
        {"module.a": weight, "module.b": weight.T, "module.fc": torch.ones(2)},
        1,
        frozen=frozenset({"module.b", "module.fc"}),
        overlaps=(("module.a", "module.b"),),
    )
    found = checkpoint.ignoring("module.fc").without_prefix("module.")
    assert (found.frozen, found.overlaps) == (frozenset({"b"}), (("a", "b"),))
    assert checkpoint.ignoring("*.b").overlaps == ()


class Plain:
    def episode_loss(self, params, episode):
        return prototypes(lambda x: F.conv2d(x, params["conv.weight"], params["conv.bias"], stride=4), episode)


class Wanting(Plain):
    """As `torch.func.functional_call` and others complain."""

    def episode_loss(self, params, episode):
        raise RuntimeError(f"Unexpected key(s) in state_dict: {', '.join(map(repr, params))}. Missing: 'conv.weight'")


@pytest.mark.parametrize("learner", [Plain(), Wanting()])
@pytest.mark.parametrize("prefix", ["module.", "module._orig_mod."])
def test_a_learner_that_names_nothing_is_told_of_the_prefix_when_it_fails(learner, prefix):
    params = prefixed(prefix, {"conv.weight": torch.randn(4, 3, 3, 3), "conv.bias": torch.zeros(4)})
    with pytest.raises(
        LearnerError, match=f"All names .*2 tensors.* begin with '{prefix}'.* give --strip-prefix {prefix} "
    ):
        check_pure(learner, params, random_episode())


def test_another_failure_says_nothing_of_prefixes():
    class Failing(Plain):
        def episode_loss(self, params, episode):
            raise ValueError("the queries are too few")

    with pytest.raises(LearnerError) as refused:
        check_pure(Failing(), {"module.weight": torch.ones(2)}, random_episode())
    assert "--strip-prefix" not in str(refused.value)


# Heads


def test_a_head_is_left_out_by_pattern(tmp_path):
    head = {"head.weight": torch.ones(64, 4), "head.norm.running_mean": torch.ones(4)}
    path = save(tmp_path / "net_1.pt", body().state_dict() | head)
    assert "It fits with --ignore 'head.*'" in theta_error(make(), tr.load_checkpoint(path))
    found = tr.load_checkpoint(path, ignore=["head.*"])
    assert found.digest == tr.load_checkpoint(save(tmp_path / "plain_1.pt", body().state_dict())).digest
    assert found.ignored == tuple(head)
    with pytest.raises(CheckpointError, match=r"No tensor of .*net_1.pt is called 'fc2\.\*'.*--ignore"):
        tr.load_checkpoint(path, ignore=["head.*", "fc2.*"])
    with pytest.raises(CheckpointError, match="leaves out all 11 tensors"):
        tr.load_checkpoint(path, ignore=["*"])


@pytest.mark.parametrize("pattern", ["head.*", "module.head.*"])
def test_a_pattern_is_taken_with_the_prefix_or_without(tmp_path, pattern):
    path = save(tmp_path / "net_1.pt", prefixed("module.", body().state_dict() | {"head.weight": torch.ones(64, 4)}))
    found = tr.load_checkpoint(path, ignore=[pattern], strip_prefix="module.")
    assert found.params.keys() == body().state_dict().keys()


@pytest.mark.slow
def test_what_is_left_out_is_said_and_recorded(tmp_path):
    path = save(tmp_path / "net_1.pt", prefixed("module.", body().state_dict() | {"head.weight": torch.ones(64, 4)}))
    done = compute(path, tmp_path / "run", "--ignore", "module.head.*", "--alpha", 1e-4)
    assert done.exit_code == 0, done.output
    assert "left out: module.head.weight" in done.stderr
    told = tr.open_run(tmp_path / "run").about()["checkpoints"][0]
    assert (told["ignored"], told["stripped"]) == (["module.head.weight"], "module.")
    done = invoke(
        "evaluate",
        path,
        "--learner",
        "tests.test_checkpoint_names:make",
        "--target",
        "strokes:test",
        "--ways",
        2,
        "--queries",
        2,
        "--n-tasks",
        2,
        "--device",
        "cpu",
        "--ignore",
        "head.*",
        "--strip-prefix",
        "module.",
    )
    assert done.exit_code == 0, done.output


# The optimizer's state


class Headed(nn.Module):
    def __init__(self, first=False):
        super().__init__()
        if first:
            self.head = nn.Linear(7, 5)
        self.body = body()
        if not first:
            self.head = nn.Linear(7, 5)


def expected_step(path, tmp_path, name):
    """The run of the body alone, its state by name."""
    return tr.measure(make(), path, strokes(0), strokes(1), lookahead=tr.Outer(0.01), out=tmp_path / name, **SMALL)


def strokes(seed):
    return tr.few_shot("strokes:test", ways=2, queries=2, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adam", "momentum"])
@pytest.mark.parametrize("by_name", [False, True], ids=["numbers", "names"])
@pytest.mark.parametrize("first", [False, True], ids=["head last", "head first"])
def test_the_outer_step_takes_each_parameters_own_slots(tmp_path, kind, by_name, first):
    torch.manual_seed(0)
    whole = Headed(first)
    state = train_steps(whole.named_parameters(), kind, by_name)
    path = save(tmp_path / "net_1.pt", {"state_dict": whole.state_dict(), "optimizer": state})
    loaded = tr.load_checkpoint(path, strip_prefix="body.", ignore=["head.*"])
    run = expected_step(loaded, tmp_path, "run")

    # the same by hand: the state of each parameter, by the parameter itself
    names = [name for name, _ in whole.named_parameters()]
    entries = {
        name.removeprefix("body."): state["state"][names.index(name)] for name in names if name.startswith("body.")
    }
    slots = {
        slot: {name: entry[slot] for name, entry in entries.items()}
        for slot in next(iter(entries.values()))
        if slot != "step"
    }
    steps = {name: int(entry["step"]) for name, entry in entries.items() if "step" in entry}
    settings = {"momentum": 0.9} if kind == "momentum" else {}
    own = tr.OptimizerState("adam" if kind == "adam" else "sgd", 0.01, settings, slots, steps)
    alone = expected_step(tr.Checkpoint(dict(whole.body.state_dict()), 1, optimizer=own), tmp_path, "alone")
    np.testing.assert_allclose(run.matrix(), alone.matrix(), rtol=1e-12)


@pytest.mark.parametrize("held", ["module.", ""], ids=["its names with the prefix", "its names without"])
def test_a_named_state_follows_whether_it_was_made_before_the_wrapping_or_after(tmp_path, held):
    module = body()
    state = train_steps(((held + name, value) for name, value in module.named_parameters()), by_name=True)
    path = save(tmp_path / "net_1.pt", {"state_dict": prefixed("module.", module.state_dict()), "optimizer": state})
    found = fitted(make(), tr.load_checkpoint(path))
    names = {name for name, _ in module.named_parameters()}
    assert found.optimizer.slots["exp_avg"].keys() == found.optimizer.steps.keys() == names


def test_a_named_state_that_has_one_parameter_twice_is_refused():
    two = {"w": torch.ones(2), "module.w": torch.zeros(2)}
    state = tr.OptimizerState.adam(0.1, steps={"w": 1, "module.w": 2}, exp_avg=two, exp_avg_sq=two)
    found = tr.Checkpoint({"module.w": torch.ones(2)}, 1, optimizer=state).without_prefix("module.")
    assert "two entries for one parameter" in found.optimizer.unusable


def outer_refused(checkpoint, tmp_path):
    with pytest.raises(CheckpointError) as refused:
        expected_step(checkpoint, tmp_path, "refused")
    return str(refused.value)


@pytest.mark.slow
def test_numbers_that_could_be_of_others_are_refused(tmp_path):
    """An optimizer of one of two models of the same shapes: which one, its numbers do not say."""
    one, other = body(), body(2)
    state = train_steps(one.named_parameters())
    content = prefixed("q.", one.state_dict()) | prefixed("k.", other.state_dict())
    path = save(tmp_path / "net_1.pt", {"state_dict": content, "optimizer": state})
    told = outer_refused(tr.load_checkpoint(path, strip_prefix="k.", ignore=["q.*"]), tmp_path)
    assert "by number, and which they are cannot be told" in told
    nested = save(tmp_path / "nested_1.pt", {"q": one.state_dict(), "k": other.state_dict(), "optimizer": state})
    assert "does not say whether it is of this model or of q" in outer_refused(
        tr.load_checkpoint(nested, key="k"), tmp_path
    )


@pytest.mark.slow
def test_an_optimizer_that_never_had_the_head_keeps_its_numbers(tmp_path):
    torch.manual_seed(0)
    whole = Headed(first=True)
    state = train_steps(whole.body.named_parameters())
    path = save(tmp_path / "net_1.pt", {"state_dict": whole.state_dict(), "optimizer": state})
    run = expected_step(tr.load_checkpoint(path, strip_prefix="body.", ignore=["head.*"]), tmp_path, "run")
    plain = save(tmp_path / "plain_1.pt", {"state_dict": whole.body.state_dict(), "optimizer": state})
    np.testing.assert_allclose(
        run.matrix(), expected_step(tr.load_checkpoint(plain), tmp_path, "plain").matrix(), rtol=1e-12
    )


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_numbered_state_survives_conversion(tmp_path, suffix):
    module = body()
    content = {"state_dict": module.state_dict(), "optimizer": train_steps(module.named_parameters())}
    before = tr.load_checkpoint(save(tmp_path / "net_1.pt", content))
    tr.save_checkpoint(before, tmp_path / f"new{suffix}")
    after = tr.load_checkpoint(tmp_path / f"new{suffix}")
    assert (after.optimizer.order, after.digest) == (6, before.digest)
    assert after.optimizer.slots["exp_avg"].keys() == before.optimizer.slots["exp_avg"].keys()
    assert list(after.params) == list(before.params)  # which the numbers follow


@pytest.mark.parametrize("names", [["conv.weight"], 3, [1, 2]], ids=repr)
def test_names_that_are_not_those_of_the_parameters_are_refused(tmp_path, names):
    module = body()
    content = {"state_dict": module.state_dict(), "optimizer": train_steps(module.named_parameters())}
    tr.save_checkpoint(tr.load_checkpoint(save(tmp_path / "net_1.pt", content)), tmp_path / "new.pt")
    written = torch.load(tmp_path / "new.pt")
    header = {k: v for k, v in json.loads(written["transference"]).items() if k != "digest"} | {"names": names}
    save(tmp_path / "other.pt", written | {"transference": json.dumps(header)})
    with pytest.raises(CheckpointError, match="names"):
        tr.load_checkpoint(tmp_path / "other.pt")


def test_a_state_that_cannot_be_used_stays_so_through_conversion(tmp_path):
    module = body()
    state = train_steps(module.named_parameters())
    before = tr.load_checkpoint(
        save(tmp_path / "net_1.pt", {"state_dict": module.state_dict(), "optimizer_states": [state, state]})
    )
    tr.save_checkpoint(before, tmp_path / "new.safetensors")
    assert tr.load_checkpoint(tmp_path / "new.safetensors").optimizer.unusable == before.optimizer.unusable
    assert "holds 2 optimizers" in before.optimizer.unusable


# Containers


@pytest.mark.parametrize("key", ["network", "params", "state", "model_sd", "net", "a.b", "nets.0"])
def test_the_only_state_dict_inside_is_read(tmp_path, key):
    inside = body().state_dict()
    *outer, last = key.split(".")
    content = [inside] if last == "0" else {last: inside}
    for part in reversed(outer):
        content = {part: content}
    optimizer = train_steps(body().named_parameters())
    beside = {
        "epoch": 3,
        "optimizer": optimizer,
        "best": torch.tensor(0.5),
        "rng": torch.get_rng_state(),
        "scores": {"a": torch.ones(())},
    }
    loaded = tr.load_checkpoint(save(tmp_path / "x.pt", {**content, **beside}))
    assert (loaded.key, loaded.step, loaded.optimizer.kind) == (key, 3, "adam")
    assert loaded.params.keys() == inside.keys()
    asked = tr.load_checkpoint(tmp_path / "x.pt", key=key)
    assert asked.digest == loaded.digest


def test_of_several_state_dicts_one_is_asked_for(tmp_path):
    one, other = body(0).state_dict(), body(1).state_dict()
    path = save(tmp_path / "x_1.pt", {"net": one, "ema": {"shadow": other}})
    with pytest.raises(CheckpointError, match=r"net \(9 tensors\), ema.shadow \(9 tensors\).*--key net"):
        tr.load_checkpoint(path)
    found = tr.load_checkpoint(path, key="ema.shadow")
    assert torch.equal(found.params["fc.weight"], other["fc.weight"])
    assert (found.key, found.unread) == ("ema.shadow", ("net",))
    with pytest.raises(CheckpointError, match=r"no state_dict .* under 'nett'.*there are: net \(9 tensors\)"):
        tr.load_checkpoint(path, key="nett")


@pytest.mark.parametrize("beside", [{"w": torch.ones(3)}, {"model": {"w": torch.ones(3), "epoch": 3}}])
def test_tensors_beside_the_only_state_dict_are_asked_about(tmp_path, beside):
    path = save(tmp_path / "x_1.pt", {"buffers": body().state_dict(), **beside})
    with pytest.raises(CheckpointError, match=r"a state_dict and tensors beside it: buffers .*--key buffers"):
        tr.load_checkpoint(path)
    assert set(tr.load_checkpoint(path, key="buffers").unread) == {"model.w" if "model" in beside else "w"}


def test_a_usual_key_is_read_whatever_is_beside_it(tmp_path):
    path = save(tmp_path / "x_1.pt", {"model": body(0).state_dict(), "ema": body(1).state_dict()})
    found = tr.load_checkpoint(path)
    assert (found.key, found.unread) == (None, ("ema",))
    assert torch.equal(found.params["fc.weight"], body(0).state_dict()["fc.weight"])


def test_a_key_where_there_are_none_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="it is a state_dict itself, of 9 tensors. Leave --key out"):
        tr.load_checkpoint(save(tmp_path / "x_1.pt", body().state_dict()), key="net")
    safetensors.torch.save_file({"net.w": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="Leave --key out; --strip-prefix"):
        tr.load_checkpoint(tmp_path / "x.safetensors", key="net")
    tr.save_checkpoint(tr.Checkpoint({"w": torch.ones(2)}, 1), tmp_path / "ours.pt")
    with pytest.raises(CheckpointError, match="Leave --key out"):
        tr.load_checkpoint(tmp_path / "ours.pt", key="net")
    with pytest.raises(CheckpointError, match="there is none in it"):
        tr.load_checkpoint(save(tmp_path / "y_1.pt", {"epoch": 3}), key="net")


# Objects


class Config(dict):
    """As OmegaConf's: a class of some library's, with attributes."""


OBJECTS = {
    "argparse.Namespace": lambda: argparse.Namespace(lr=1),
    "a number of numpy's": lambda: np.float64(0.5),
    "tests.test_checkpoint_names.Config": lambda: Config(lr=1),
    "collections.defaultdict": lambda: collections.defaultdict(list),
    "tests.test_checkpoint_names.Body": body,
}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_is_refused_by_its_class_with_the_way_out(tmp_path, name):
    path = save(tmp_path / "x_1.pt", {"state_dict": body().state_dict(), "extra": OBJECTS[name]()})
    with pytest.raises(CheckpointError) as refused:
        tr.load_checkpoint(path)
    told = str(refused.value)
    assert f"it wants to use {name}" in told
    assert "\n" not in told
    for way in (
        "torch.save(model.state_dict()",
        "transference convert --unsafe-load x_1.pt",
        "repeat with --unsafe-load",
    ):
        assert way in told
    done = invoke("convert", path, tmp_path / "new.safetensors", "--unsafe-load")
    assert done.exit_code == 0, done.output
    assert tr.load_checkpoint(tmp_path / "new.safetensors").params.keys() == body().state_dict().keys()


def test_a_module_inside_gives_its_state_dict(tmp_path):
    module = body()
    module.conv.requires_grad_(requires_grad=False)
    path = save(tmp_path / "x_1.pt", {"trainer": {"nets": [nn.DataParallel(module)]}, "optimizer": {}})
    found = tr.load_checkpoint(path, unsafe=True)
    assert (found.key, found.unsafe) == ("trainer.nets.0", True)
    assert {"module.conv.weight", "module.conv.bias"} <= found.frozen
    assert fitted(make(), found).stripped == "module."


def test_code_that_is_not_here_is_told_as_that(tmp_path, monkeypatch):
    (tmp_path / "gone_code.py").write_text("class Config(dict):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import gone_code

    path = save(tmp_path / "x_1.pt", {"state_dict": body().state_dict(), "extra": gone_code.Config()})
    monkeypatch.undo()
    monkeypatch.delitem(sys.modules, "gone_code", raising=False)
    with pytest.raises(CheckpointError, match="code is not here .*gone_code.*folder of the program"):
        tr.load_checkpoint(path, unsafe=True)


def test_convert_takes_all_of_them(tmp_path):
    content = {
        "a": {"net": prefixed("net.", body().state_dict()) | {"loss.w": torch.ones(2)}},
        "b": {"w": torch.ones(2)},
    }
    path = save(tmp_path / "x_1.pt", content)
    done = invoke(
        "convert", path, tmp_path / "new.pt", "--key", "a.net", "--strip-prefix", "net.", "--ignore", "loss.*"
    )
    assert done.exit_code == 0, done.output
    for words in (
        "read: the state_dict under a.net",
        "'net.' is taken off all names (9 tensors)",
        "left out: loss.w",
        "not read: b",
    ):
        assert words in done.stderr
    assert tr.load_checkpoint(tmp_path / "new.pt").params.keys() == body().state_dict().keys()
    assert json.loads(torch.load(tmp_path / "new.pt")["transference"])["step"] == 1
