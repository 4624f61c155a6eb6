"""The source side of a measurement: gradients and displacements at one checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch

from transference import _trees
from transference.checkpoints import Checkpoint
from transference.devices import usable
from transference.engines import KeptGradients, Scored, find_engine
from transference.episodes import Episode, Params
from transference.estimators import Ray
from transference.learners import Learner, theta
from transference.lookahead import Lookahead, Source, moving, step_sizes
from transference.measurement._combined import Known, combined, made_of
from transference.measurement._reading import halved
from transference.measurement._tasks import Drawn, Piece, Tasks
from transference.optimizers import OptimizerState

AT_ONCE = 16
"""Sources whose gradients and displacements are in memory together."""

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Subject:
    """A checkpoint ready to be measured.

    Attributes:
        learner: takes ``params`` alone.
        params: θ, by name.
        moving: the names in θ that the lookahead moves.
        optimizer: the checkpoint's outer optimizer.
        about: what moves and what does not, for whoever reads the run.
    """

    learner: Learner
    params: Params
    moving: tuple[str, ...]
    optimizer: OptimizerState | None
    about: Mapping[str, Any]
    step: int

    @classmethod
    def of(
        cls, learner: Learner, checkpoint: Checkpoint, lookahead: Lookahead, device: torch.device, dtype: torch.dtype
    ) -> Subject:
        """Return the checkpoint on a device and in a precision."""
        checkpoint = replace(checkpoint, params={name: usable(value) for name, value in checkpoint.params.items()})
        found = theta(learner, checkpoint, lookahead.moves).to(device, dtype)
        names = moving(lookahead, found.params, tied=found.tied, constants=found.constants)
        state = checkpoint.optimizer and checkpoint.optimizer.named(found.params, _numbers(checkpoint.params)).to(
            device, dtype
        )
        return cls(found.learner, found.params, tuple(names), state, found.report(names), checkpoint.step)


@dataclass(frozen=True)
class Step:
    """One source's loss, gradient and displacement at one step size; None where memory ran out.

    Attributes:
        weights: of a combination, what the displacement is made of (see `made_of`).
        unexplained: likewise.
    """

    source: int
    alpha: float
    loss: float
    gradient: Params | None
    displacement: Params | None
    weights: Sequence[float] | None = None
    unexplained: float = np.nan

    def row(self) -> dict[str, Any]:
        """Return the source's own row."""
        norms = [np.nan if tree is None else _trees.norm(tree) for tree in (self.gradient, self.displacement)]
        return {
            "source": self.source,
            "alpha": self.alpha,
            "loss": self.loss,
            "gradient_norm": norms[0],
            "displacement_norm": norms[1],
            "weights": self.weights,
            "unexplained": self.unexplained,
        }


def ray_of(steps: Sequence[Step]) -> Ray:
    """Return the steps of one source, at all step sizes, none of which memory was too small for.

    Raises:
        UsageError: they do not lie on one line.
    """
    return Ray(
        tuple(step.alpha for step in steps),
        tuple(step.displacement for step in steps if step.displacement is not None),
    )


@dataclass(frozen=True)
class Stepper:
    """Takes the steps on sources at one checkpoint.

    Args:
        subject: the checkpoint.
        sources: the source tasks.
        lookahead: the step, with its step sizes.
        engine: how gradients are computed.
    """

    subject: Subject
    sources: Tasks
    lookahead: Lookahead
    engine: str

    def gradients(self, episodes: Sequence[Episode]) -> list[Scored]:
        """Return loss and accuracy, and the gradient of what moves, of each episode."""
        subject = self.subject
        return find_engine(self.engine).gradients(subject.learner, subject.params, episodes, subject.moving)

    def steps_of(self, source: int, loss: float, gradient: Params | None, tasks: Tasks) -> list[Step]:
        """Return one source's steps, one per step size; it is one of ``tasks``."""
        sizes, at = step_sizes(self.lookahead), self.subject

        def move(gradients: Sequence[Params]) -> list[list[Params]]:
            sources = [Source(at.learner, at.params, one, at.optimizer, tasks, source) for one in gradients]
            return [self.lookahead.displacements(one) for one in sources]

        found = halved(move, [gradient] if gradient is not None else [])
        displacements = found[0] if found and found[0] is not None else [None] * len(sizes)
        return [Step(source, alpha, loss, gradient, d) for alpha, d in zip(sizes, displacements, strict=True)]

    def tried(self, source: int) -> list[Step]:
        """Return the steps on a source: a step that cannot be taken is found so."""
        [steps] = self.walk([source])
        return steps

    def walk(self, numbers: Iterable[int], kept: KeptGradients | None = None) -> Iterator[list[Step]]:
        """Yield the steps on some sources, all step sizes of a few sources together.

        Args:
            numbers: the sources.
            kept: where gradients are looked up first, and put.

        Yields:
            The steps of at most `AT_ONCE` sources; of fewer where a source is made of several tasks.
        """
        for some in batches(numbers, max(1, AT_ONCE // self.sources.most_pieces)):
            pieces = {i: self.sources.pieces(i) for i in some}
            wholes = {i: [Piece(of[0].task) for of in pieces[i]] for i in some}
            wanted = dict.fromkeys(piece for i in some for of in (*pieces[i], wholes[i]) for piece in of)
            known = self._gradients_of(wanted, kept)
            yield [
                step
                for i in some
                for step in self._steps(
                    i, [[known.get(piece) for piece in of] for of in pieces[i]], [known.get(one) for one in wholes[i]]
                )
            ]

    def _gradients_of(self, pieces: Iterable[Piece], kept: KeptGradients | None) -> dict[Piece, Known]:
        """Return loss and gradient of what memory suffices for."""
        known = {piece: found for piece in pieces if kept and (found := kept.get(piece))}
        missing = [piece for piece in pieces if piece not in known]
        for piece, scored in zip(missing, halved(self.gradients, Drawn(self.sources, missing)), strict=True):
            if scored:
                known[piece] = scored[0][0], scored[1]
                if kept:
                    kept.put(piece, *known[piece])
        return known

    def _steps(
        self, source: int, known: Sequence[Sequence[Known | None]], wholes: Sequence[Known | None]
    ) -> list[Step]:
        """Return the steps on a source, from loss and gradient of every piece of every task that it is made of, and of each task."""
        found = [[piece for piece in pieces if piece] for pieces in known]
        tasks = [task for task in wholes if task]
        if [*map(len, found), len(tasks)] != [*map(len, known), len(wholes)]:  # memory ran out on some
            return self.steps_of(source, np.nan, None, self.sources)
        combination = self.sources.combination(source)
        if combination is None:
            return self.steps_of(source, *found[0][0], self.sources)
        loss, gradient = combined(combination, found, tasks, self.sources.tell(source))
        steps = self.steps_of(source, loss, gradient, self.sources)
        alone = [self.steps_of(source, *task, self.sources) for task in tasks]
        return [
            replace(step, **made_of(step.displacement, [of[k].displacement for of in alone]))
            for k, step in enumerate(steps)
        ]


def _numbers(tensors: Params) -> Params:
    """Return the tensors that a gradient can be taken of."""
    return {name: value for name, value in tensors.items() if value.is_floating_point()}


def batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Yield the items, so many together."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
