from dataclasses import dataclass

import pytest
import torch

import transference as tr
from transference.engines import loss_gradient
from transference.errors import CheckpointError, UsageError
from transference.lookahead import moving, with_alpha

PARAMS = {
    "a.weight": torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64),
    "b.bias": torch.tensor([[0.5]], dtype=torch.float64),
}


def gradient(k):
    generator = torch.Generator().manual_seed(k)
    return {name: torch.randn(value.shape, generator=generator, dtype=torch.float64) for name, value in PARAMS.items()}


def at(g, optimizer=None, params=PARAMS):
    """A source task with this gradient; nothing else of it is looked at."""
    return tr.Source(None, params, g, optimizer, None)


def test_sgd_is_minus_alpha_times_the_gradient():
    small, large = tr.SGD((0.1, 2.0)).displacements(at(gradient(0)))
    for name, g in gradient(0).items():
        assert torch.equal(small[name], -0.1 * g)
        assert torch.equal(large[name], -2.0 * g)


OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {}),
    "sgd with decay": (torch.optim.SGD, {"weight_decay": 0.1}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "dampened": (torch.optim.SGD, {"momentum": 0.9, "dampening": 0.4, "weight_decay": 0.1, "maximize": True}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.02}),
    "adam": (torch.optim.Adam, {"betas": (0.8, 0.99), "eps": 1e-6}),
    "amsgrad": (torch.optim.Adam, {"betas": (0.7, 0.5), "amsgrad": True}),
    "adam with decay": (torch.optim.Adam, {"weight_decay": 0.1, "maximize": True}),
    "adamw": (torch.optim.AdamW, {}),
    "adamw with amsgrad": (
        torch.optim.AdamW,
        {"weight_decay": 0.3, "amsgrad": True, "betas": (0.7, 0.5), "maximize": True},
    ),
}


@pytest.mark.parametrize("steps_before", [0, 1, 7])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_outer_step_is_the_one_that_torch_takes(name, steps_before, tmp_path):
    """From the file that torch's optimizer left, by the order of the parameters."""
    make, settings = OPTIMIZERS[name]
    leaves = {key: value.clone().requires_grad_() for key, value in PARAMS.items()}
    optimizer = make(leaves.values(), lr=0.03, **settings)

    def step(k):
        for key, g in gradient(k).items():
            leaves[key].grad = g
        optimizer.step()

    for k in range(steps_before):
        step(k)
    before = {key: leaf.detach().clone() for key, leaf in leaves.items()}
    torch.save({"model": before, "optimizer": optimizer.state_dict()}, tmp_path / "step-3.pt")
    state = tr.load_checkpoint(tmp_path / "step-3.pt").optimizer.named(before)
    assert (state.kind, state.lr) == (make.__name__.lower(), 0.03)
    step(99)
    small, own = tr.Outer((0.015, 0.03)).displacements(at(gradient(99), state, before))
    for key, leaf in leaves.items():
        torch.testing.assert_close(before[key] + own[key], leaf.detach(), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(2 * small[key], own[key], rtol=1e-12, atol=0)
    again = tr.Checkpoint(before, step=3, optimizer=state)
    for suffix in (".safetensors", ".pt"):
        tr.save_checkpoint(again, tmp_path / f"ours{suffix}")
        loaded = tr.load_checkpoint(tmp_path / f"ours{suffix}")
        assert loaded.digest == again.digest
        [found] = tr.Outer(0.03).displacements(at(gradient(99), loaded.optimizer, before))
        assert all(torch.equal(found[key], own[key]) for key in own)


def trained(module, optimizer):
    module(torch.ones(1, 4)).square().sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3).eval(), torch.nn.Linear(3, 2))


def loss(module, episode):
    return module(episode.query_x).square().mean()


class Points:
    name = "points"

    def __getitem__(self, index):
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(index))
        return tr.Episode(x, torch.zeros(5), x, torch.zeros(5))


def measured(path, out, lookahead):
    module = net().eval()
    return tr.measure(
        tr.ModuleLearner(module, loss), tr.load_checkpoint(path), Points(), Points(), n_source=2, n_target=2, lookahead=lookahead,
        device="cpu", out=out,
    )  # fmt: skip


@pytest.mark.parametrize("where", ["optimizer", "optimizer_state_dict", "lightning", "named"])
def test_the_states_of_torch_find_their_parameters_beside_buffers(where, tmp_path):
    module = net()
    named = module.named_parameters() if where == "named" else module.parameters()
    state = trained(module, torch.optim.SGD(named, lr=0.02, momentum=0.9))
    content = {"state_dict": module.state_dict(), "global_step": 4}
    content |= (
        {"optimizer_states": [state]} if where == "lightning" else {"optimizer" if where == "named" else where: state}
    )
    torch.save(content, tmp_path / "step-4.ckpt")
    run = measured(tmp_path / "step-4.ckpt", tmp_path / "run", tr.Outer())
    assert run.spec.lookahead == {"kind": "outer", "alpha": [0.02], "moves": ["*"]}, "the rate is the file's"
    episode, theta = Points()[0], {name: p.detach().clone() for name, p in module.named_parameters()}
    module.zero_grad()
    loss(module, episode).backward()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.02, momentum=0.9)
    optimizer.load_state_dict(trained_state(state, module))
    optimizer.step()
    moved = sum(float((p.detach() - theta[name]).square().sum()) for name, p in module.named_parameters()) ** 0.5
    assert run.sources()["displacement_norm"].iloc[0] == pytest.approx(moved, rel=1e-5)


def trained_state(state, module):
    """The same without the names, which torch would compare."""
    group = {key: value for key, value in state["param_groups"][0].items() if key != "param_names"}
    return {"state": state["state"], "param_groups": [group]}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: torch.optim.RMSprop(p, lr=0.01), "neither SGD, Adam nor AdamW"),
        (lambda p: torch.optim.NAdam(p, lr=0.01), "neither SGD, Adam nor AdamW"),
        (
            lambda p: torch.optim.Adam([{"params": p[:1], "lr": 0.1}, {"params": p[1:]}], lr=0.01),
            "groups differ in their settings",
        ),
        (
            lambda p: torch.optim.SGD([(f"module.{k}", one) for k, one in enumerate(p)], lr=0.01, momentum=0.9),
            "keeps 'module.0', which is no",
        ),
        (
            lambda p: torch.optim.SGD(p[:-1], lr=0.01, momentum=0.9),
            "keeps 5 parameters by number, .* do not fit the 6 or 8 tensors of θ",
        ),
    ],
)
def test_what_cannot_be_stepped_with_is_refused_in_words_and_by_nobody_else(make, told, tmp_path):
    module = net()
    state = trained(module, make(list(module.parameters())))
    torch.save({"state_dict": module.state_dict(), "optimizer": state}, tmp_path / "step-4.pt")
    with pytest.raises(CheckpointError, match=f"No step of the checkpoint's own can be taken: .*{told}"):
        measured(tmp_path / "step-4.pt", tmp_path / "run", tr.Outer(0.1))
    assert not (tmp_path / "run").exists(), "found before the folder is begun"
    loaded = tr.load_checkpoint(tmp_path / "step-4.pt")
    assert loaded.unread == (("optimizer",) if loaded.optimizer.unusable else ()), (
        "what is wrong with the file alone is named at once"
    )
    assert len(measured(tmp_path / "step-4.pt", tmp_path / "run", tr.SGD(0.1)).pairs()) == 4


def test_a_decay_of_either_adam_is_not_guessed(tmp_path):
    """Torch before 2.7 did not write which of the two it was."""
    module = net()
    state = trained(module, torch.optim.AdamW(module.parameters(), lr=0.01))
    del state["param_groups"][0]["decoupled_weight_decay"]
    torch.save({"state_dict": module.state_dict(), "optimizer": state}, tmp_path / "step-4.pt")
    with pytest.raises(CheckpointError, match="with a weight decay of 0.01 it may be Adam or AdamW"):
        measured(tmp_path / "step-4.pt", tmp_path / "run", tr.Outer(0.1))


def test_two_optimizers_are_one_too_many(tmp_path):
    module = net()
    state = trained(module, torch.optim.SGD(module.parameters(), lr=0.01))
    torch.save({"state_dict": module.state_dict(), "optimizer_states": [state, state]}, tmp_path / "step-4.pt")
    assert tr.load_checkpoint(tmp_path / "step-4.pt").unread == ("optimizer_states",)
    torch.save({"state_dict": module.state_dict(), "optim": state, "inner": state}, tmp_path / "step-5.pt")
    assert tr.load_checkpoint(tmp_path / "step-5.pt").unread == ("inner",), "the other one is read"
    with pytest.raises(CheckpointError, match="holds 2 optimizers under optimizer_states"):
        measured(tmp_path / "step-4.pt", tmp_path / "run", tr.Outer(0.1))
    with pytest.raises(UsageError, match="Give --alpha"):
        measured(tmp_path / "step-4.pt", tmp_path / "run", tr.SGD())


@pytest.mark.parametrize("lookahead", [tr.Outer(0.1), tr.Adam(0.1)])
def test_a_step_without_a_state_is_refused(lookahead):
    with pytest.raises(CheckpointError, match="holds no optimizer state; use sgd"):
        lookahead.displacements(at(gradient(0)))


def test_adam_takes_no_step_of_another_optimizer():
    with pytest.raises(CheckpointError, match="outer optimizer is adamw; take the lookahead outer"):
        tr.Adam(0.1).displacements(at(gradient(0), tr.OptimizerState("adamw", 0.1)))


@dataclass(frozen=True)
class Reptile:
    """``d = ε (φ - θ)`` with ``φ`` after K gradient steps on the task (Nichol et al., 2018): it looks at the episode, not the gradient."""

    alpha: float = 0.5
    moves: tuple[str, ...] = ("*",)
    inner_steps: int = 3
    inner_lr: float = 0.1

    def displacements(self, source):
        names, phi = list(source.gradient), source.params
        for _ in range(self.inner_steps):
            _, g = loss_gradient(source.learner, phi, source.episode, names)
            phi = {name: value - self.inner_lr * g[name] if name in g else value for name, value in phi.items()}
        return [{name: self.alpha * (phi[name] - source.params[name]) for name in names}]


def test_a_reptile_step_fits(tmp_path):
    module = net().eval()
    checkpoint = tr.Checkpoint(module.state_dict(), step=1)
    run = tr.measure(
        tr.ModuleLearner(module, loss), checkpoint, Points(), Points(), n_source=2, n_target=2, lookahead=Reptile(),
        precision="fp64", device="cpu", out=tmp_path / "run",
    )  # fmt: skip
    fast = net().eval().double()
    optimizer = torch.optim.SGD(fast.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        loss(fast, Points()[1].to(dtype=torch.float64)).backward()
        optimizer.step()
    half = net().eval().double()
    with torch.no_grad():
        for mine, theirs in zip(half.parameters(), fast.parameters(), strict=True):
            mine.add_(0.5 * (theirs - mine))
    expected = [float(loss(m, Points()[0].to(dtype=torch.float64)).detach()) for m in (net().eval().double(), half)]
    assert run.matrix()[1, 0] == pytest.approx(expected[1] / expected[0], rel=1e-9)
    assert run.spec.lookahead == {"kind": "reptile", "alpha": [0.5], "moves": ["*"], "inner_steps": 3, "inner_lr": 0.1}


@dataclass(frozen=True)
class WithTheNext:
    """``d = -α (g_i + g_k) / 2`` with the task k after i, conflicting parts taken off each other (PCGrad; Yu et al., 2020)."""

    alpha: float = 0.1
    moves: tuple[str, ...] = ("*",)

    def displacements(self, source):
        after = source.tasks[(source.number + 1) % len(source.tasks)]
        _, other = loss_gradient(source.learner, source.params, after, list(source.gradient))
        flat = [torch.cat([g[name].flatten() for name in source.gradient]) for g in (source.gradient, other)]
        product = flat[0] @ flat[1]
        if product < 0:
            flat = [
                flat[0] - product / flat[1].square().sum() * flat[1],
                flat[1] - product / flat[0].square().sum() * flat[0],
            ]
        parts = torch.split((flat[0] + flat[1]) / 2, [g.numel() for g in source.gradient.values()])
        pieces = zip(source.gradient.items(), parts, strict=True)
        return [{name: -self.alpha * part.reshape(g.shape) for (name, g), part in pieces}]


def test_a_step_on_several_tasks_combined_fits(tmp_path):
    module = net().eval()
    run = tr.measure(
        tr.ModuleLearner(module, loss), tr.Checkpoint(module.state_dict(), step=1), Points(), Points(), n_source=3, n_target=2,
        lookahead=WithTheNext(), precision="fp64", device="cpu", out=tmp_path / "run",
    )  # fmt: skip
    wide = net().eval().double()
    points = [Points()[k].to(dtype=torch.float64) for k in range(3)]

    mine, other = (gradients(wide, points[k]) for k in (2, 0))  # the last is followed by the first
    assert sum((a * b).sum() for a, b in zip(mine, other, strict=True)) > 0, "no conflict: the plain mean"
    before = [float(loss(wide, points[k]).detach()) for k in range(2)]
    with torch.no_grad():
        for p, a, b in zip(wide.parameters(), mine, other, strict=True):
            p.sub_(0.1 * (a + b) / 2)
    after = [float(loss(wide, points[k]).detach()) for k in range(2)]
    assert run.matrix()[2].tolist() == pytest.approx([a / b for a, b in zip(after, before, strict=True)], rel=1e-9)


def gradients(module, episode):
    return torch.autograd.grad(loss(module, episode), list(module.parameters()))


def test_moving_takes_patterns():
    assert moving(tr.SGD(0.1), PARAMS) == ["a.weight", "b.bias"]
    assert moving(tr.SGD(0.1, moves=("a.*",)), PARAMS) == ["a.weight"]
    with pytest.raises(UsageError, match=r"No parameter is called 'c\.\*'.*there are: a.weight, b.bias"):
        moving(tr.SGD(0.1, moves=("c.*",)), PARAMS)


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf"), (0.1, 0.1)])
def test_bad_step_sizes_are_refused(alpha):
    with pytest.raises(UsageError, match="different finite number"):
        tr.SGD(alpha)


def test_the_step_size_defaults_to_the_checkpoints_outer_rate():
    trained_at = lambda step, lr: tr.Checkpoint(PARAMS, step, optimizer=tr.OptimizerState.adam(lr=lr) if lr else None)
    assert with_alpha(tr.SGD(), [trained_at(1, 0.01), trained_at(2, 0.01)]) == tr.SGD((0.01,))
    assert with_alpha(tr.SGD(0.5), [trained_at(1, 0.01), trained_at(2, 0.02)]) == tr.SGD(0.5)
    with pytest.raises(UsageError, match="found: 0.01 at step 1, 0.02 at step 2.*Give --alpha"):
        with_alpha(tr.SGD(), [trained_at(1, 0.01), trained_at(2, 0.02)])
    with pytest.raises(UsageError, match="no checkpoint holds the outer learning rate"):
        with_alpha(tr.SGD(), [trained_at(1, None)])
