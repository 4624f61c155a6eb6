"""Episodes whose inputs have parts: texts of tokens and masks, measured by every engine that can."""

from collections import UserDict
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import transference as tr
from transference.engines import ENGINES, find_engine, loss_gradient, meta_gradient, trial
from transference.episodes import stack
from transference.errors import UsageError
from transference.learners import EpisodeError, check_pure

LENGTH, WORDS = 6, 11


class Reader(nn.Module):
    """One layer of attention over tokens, and their masked mean: a transformer as small as it can be."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(WORDS, 8)
        self.query, self.key = nn.Linear(8, 8), nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, text):
        x, mask = self.embed(text["ids"]), text["mask"]
        similar = self.query(x) @ self.key(x).transpose(1, 2) / 8**0.5
        attended = similar.masked_fill(mask[:, None] == 0, -torch.inf).softmax(dim=2) @ x
        weights = mask.to(x).unsqueeze(2)
        return (self.norm(x + attended) * weights).sum(dim=1) / weights.sum(dim=1)


def prototypes_loss(module, episode):
    support, query = module(episode.support_x), module(episode.query_x)
    labels = F.one_hot(episode.support_y, 3).to(support)
    prototypes = labels.T @ support / labels.sum(dim=0)[:, None]
    return F.cross_entropy(-(query[:, None] - prototypes).square().sum(dim=2), episode.query_y)


class Texts:
    """Task k: three classes of texts, each with favourite words, cut off at random lengths."""

    name = "texts"

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)

        def texts(labels):
            ids = (3 * labels[:, None] + torch.randint(0, 5, (len(labels), LENGTH), generator=generator)) % WORDS
            mask = torch.arange(LENGTH) < torch.randint(2, LENGTH + 1, (len(labels), 1), generator=generator)
            parts = {"ids": ids, "mask": mask.long()}
            return parts if index % 2 else dict(reversed(parts.items()))  # the order of the parts says nothing

        support_y, query_y = torch.arange(3), torch.arange(3).repeat_interleave(2)
        return tr.Episode(texts(support_y), support_y, texts(query_y), query_y)


@pytest.fixture
def subject():
    torch.manual_seed(0)
    learner = tr.ModuleLearner(Reader().double(), prototypes_loss)
    return learner, learner.init_params(0), [Texts()[k] for k in range(5)]


def oracle(learner, params, episodes):
    return torch.tensor(
        [float(learner.episode_loss(params, episode).detach()) for episode in episodes], dtype=torch.float64
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_reads_texts(engine, subject):
    learner, params, episodes = subject
    moved = {name: 1.05 * value for name, value in params.items()}
    evaluate = find_engine(engine)(learner, episodes)
    for theta in (params, moved):
        torch.testing.assert_close(evaluate(theta)[:, 0], oracle(learner, theta, episodes), rtol=1e-9, atol=0)
    torch.testing.assert_close(
        evaluate.each([(3, moved)])[:, 0], oracle(learner, moved, episodes[3:4]), rtol=1e-9, atol=0
    )
    [(_, gradient)] = find_engine(engine).gradients(learner, params, episodes[:1], list(params))
    expected = loss_gradient(learner, params, episodes[0], list(params))[1]
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


def test_a_measurement_of_texts_is_the_definition(subject, tmp_path):
    learner, params, episodes = subject
    check_pure(learner, params, episodes[0])
    checkpoint = tr.Checkpoint(params, step=3)
    run = tr.measure(
        learner, checkpoint, Texts(), Texts(), n_source=2, n_target=4, lookahead=tr.SGD(alpha=0.1), controls=2,
        precision="fp64", device="cpu", out=tmp_path / "run",
    )  # fmt: skip
    before = oracle(learner, params, episodes[:4])
    for source in range(2):
        gradient = loss_gradient(learner, params, episodes[source], list(params))[1]
        after = oracle(learner, {name: value - 0.1 * gradient[name] for name, value in params.items()}, episodes[:4])
        torch.testing.assert_close(
            torch.from_numpy(run.matrix(step=3, alpha=0.1)[source]), after / before, rtol=1e-9, atol=0
        )
    assert (run.pairs()["status"] == "ok").all()


@pytest.mark.parametrize("way", ["apart", "together"])
def test_training_on_texts_takes_the_mean_gradient(way, subject):
    learner, params, episodes = subject
    found = meta_gradient(way, learner, params, [(Texts(), k) for k in range(3)])
    each = [loss_gradient(learner, params, episode, list(params))[1] for episode in episodes[:3]]
    expected = {name: sum(gradient[name] for gradient in each) / 3 for name in params}
    torch.testing.assert_close(found.gradient, expected, rtol=1e-9, atol=1e-12)


def test_a_trial_of_engines_runs_on_texts(subject):
    learner, params, episodes = subject
    assert {"loop", "threads", "vmap"} <= trial(learner, params, episodes, n_pairs=10**6).milliseconds.keys()


def test_names_shapes_and_digests_tell_the_parts_apart():
    episode = Texts()[0]
    assert list(dict(episode.items())) == [
        "support_x['ids']",
        "support_x['mask']",
        "support_y",
        "query_x['ids']",
        "query_x['mask']",
        "query_y",
    ]
    assert "query_x['mask'] (6, 6) int64" in episode.describe()
    both = stack([Texts()[0], replace(Texts()[1], query_x=UserDict(Texts()[1].query_x))])
    assert both.query_x["ids"].shape == (2, 6, LENGTH)
    assert torch.equal(both.query_x["mask"][1], Texts()[1].query_x["mask"])
    assert EpisodeError("", episode).is_on(Texts()[0])
    assert not EpisodeError("", episode).is_on(Texts()[1])


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ([torch.zeros(3)], "support_x of an episode is a list; give a tensor, or a dictionary of tensors by name"),
        ({"ids": [1, 2]}, "support_x\\['ids'\\] of an episode is a list; give tensors"),
        ({0: torch.zeros(3)}, "support_x\\[0\\] of an episode is a Tensor; give tensors by names that are text"),
        (None, "support_x of an episode is a NoneType"),
    ],
)
def test_what_is_no_tensor_is_refused_in_words(inputs, told, learner, checkpoint, tmp_path):
    class Odd:
        name = "odd"

        def __getitem__(self, index):
            return tr.Episode(inputs, torch.arange(3), torch.zeros(3, 2), torch.arange(3))

    with pytest.raises(UsageError, match=told):
        tr.measure(
            learner,
            checkpoint,
            Odd(),
            Odd(),
            n_source=1,
            n_target=1,
            lookahead=tr.SGD(alpha=0.1),
            device="cpu",
            out=tmp_path,
        )
