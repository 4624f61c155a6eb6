"""What a classifier's logits say of its queries, for whoever reads losses at other temperatures.

Divided by a temperature T the logits z of a query with the label y have the cross-entropy

    -log softmax_y(z / T) = log Σ_c exp((z_c - z_y) / T)

so that the differences ``z_c - z_y`` (here: margins) are all that has to be kept of a query, and its label is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from transference.devices import undisturbed
from transference.episodes import Episode, Params
from transference.errors import LearnerError
from transference.learners._protocol import Learner, LogitsLearner, asked

_TOLERANCE = {torch.float32: 4e-6, torch.float64: 1e-8}
"""How far the cross-entropy of the logits may be from the loss: of the loss and, added to that, of 1. It is less than
`verify` allows the losses of pairs, which are those of logits, to be from those of controls, which are not."""

_HEADER = 4
"""Numbers in front of the margins of `read_margins`: loss, accuracy, queries, classes."""


def read_margins(learner: Learner, params: Params, episode: Episode, *, exact: bool = True) -> tuple[Tensor, ...]:
    """Return loss and accuracy, both ``[]``, the margins' sizes, and the margins in float64, ``[n_query, n_class]``.

    All from one forward pass. An engine puts such numbers of an episode one after the other; `margins_of` takes them
    apart again.

    Args:
        learner: whose; it has ``episode_logits``.
        params: where.
        episode: on which task.
        exact: as of `read_scores`.

    Raises:
        EpisodeError: the learner failed.
    """
    if torch.compiler.is_compiling():
        return _margins(learner, params, episode)
    with asked(learner, episode, exact=exact):
        return _margins(learner, params, episode)


def _margins(learner: Learner, params: Params, episode: Episode) -> tuple[Tensor, ...]:
    logits, labels = cast("LogitsLearner", learner).episode_logits(params, episode), episode.query_y
    accuracy = (logits.argmax(dim=1) == labels).float().mean()
    wide = logits.double()  # float32 would lose in the difference what it has in large logits
    margins = wide - wide.gather(1, labels[:, None])
    sizes = (torch.full((), float(n), dtype=torch.float64, device=wide.device) for n in margins.shape)
    return F.cross_entropy(logits, labels), accuracy, *sizes, margins


def margins_of(rows: Tensor) -> Iterator[Tensor]:
    """Yield the margins of each episode, ``[n_query, n_class]``.

    Args:
        rows: what `read_margins` returned of each, flattened, ``[n_episodes, ...]``; beyond the end of a shorter one
            there is anything.
    """
    for row in rows:
        n_query, n_class = (int(size) for size in row[_HEADER - 2 : _HEADER])
        yield row[_HEADER : _HEADER + n_query * n_class].view(n_query, n_class)


def check_offers_logits(learner: Learner) -> None:
    """Make sure that a learner has logits to read.

    Raises:
        LearnerError: it has not.
    """
    if not isinstance(learner, LogitsLearner):
        raise LearnerError(
            f"Tempered losses were asked for, but {type(learner).__name__} has no episode_logits(params, episode). "
            "Give the classifier this method, which returns logits [n_query, n_class]; of a regression, which has none, "
            "leave tempered (--tempered) out."
        )


@undisturbed()
def check_logits(learner: Learner, params: Params, episode: Episode) -> None:
    """Make sure that the cross-entropy of a learner's logits is its loss.

    Args:
        learner: which offers logits.
        params: θ on the device and in the precision of the run.
        episode: likewise.

    Raises:
        LearnerError: the learner failed, or its logits are of another shape or of another loss.
    """
    with asked(learner, episode):
        found: object = cast("LogitsLearner", learner).episode_logits(params, episode)
        loss = learner.episode_loss(params, episode).detach()
    n = len(episode.query_y)
    if not (isinstance(found, Tensor) and found.is_floating_point() and found.dim() == 2 and len(found) == n):
        told = f"the shape {list(found.shape)} of {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
        raise LearnerError(
            f"episode_logits must return logits [n_query, n_class], here [{n}, n_class]; it returned {told}."
        )
    if not 0 <= int(episode.query_y.min()) <= int(episode.query_y.max()) < found.shape[1]:
        raise LearnerError(
            f"episode_logits returned logits of {found.shape[1]} classes, while labels reach "
            f"{int(episode.query_y.max())}."
        )
    entropy = F.cross_entropy(found.detach(), episode.query_y)
    tolerance = _TOLERANCE.get(loss.dtype, _TOLERANCE[torch.float32])
    if not torch.allclose(entropy, loss, rtol=tolerance, atol=tolerance, equal_nan=True):
        raise LearnerError(
            f"The cross-entropy of episode_logits is {float(entropy):.8g} where episode_loss gives {float(loss):.8g}; "
            "they must be the same number. Let episode_loss be the mean cross-entropy of the queries, or leave tempered "
            "(--tempered) out."
        )
