"""The definition, carried out: adapt and evaluate every target at θ + d."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from transference import _trees
from transference.devices import undisturbed
from transference.engines import find_engine
from transference.episodes import Episode, Params
from transference.estimators._protocol import ExactSample, Readings
from transference.estimators._tangents import TangentsOnDemand
from transference.learners import Learner, margins_of, read_margins, read_scores


@dataclass(frozen=True)
class Exact:
    """``L_j(θ + d)`` by evaluating it.

    Args:
        engine: how (see ``transference.engines``). ``"auto"`` takes the fastest of a short trial when `measure` begins a run, and is the
            plain loop elsewhere. Engines differ in the last digits.

    Raises:
        UsageError: there is no such engine.
    """

    engine: str = "auto"

    def __post_init__(self) -> None:
        find_engine(self.engine)

    @property
    def sample(self) -> ExactSample | None:
        """None: nothing is estimated."""
        return None

    @undisturbed()
    def prepare(
        self, learner: Learner, params: Params, targets: Sequence[Episode], *, margins: bool = False
    ) -> ExactTargets:
        """Evaluate every target at θ.

        Args:
            learner: whose loss is measured.
            params: θ.
            targets: the target episodes.
            margins: whether readings have margins too, of a learner with ``episode_logits``.
        """
        return ExactTargets(learner, params, targets, self.engine, margins=margins)


class ExactTargets(TangentsOnDemand):
    """Targets that an engine has loaded; their gradients are computed when somebody asks for the first-order part.

    Args:
        learner: whose loss.
        params: θ.
        targets: the episodes.
        engine: which evaluates.
        margins: whether readings have margins too.
    """

    def __init__(
        self, learner: Learner, params: Params, targets: Sequence[Episode], engine: str, *, margins: bool = False
    ) -> None:
        super().__init__(learner, params, targets, engine)
        self._margins = margins
        self._evaluate = find_engine(engine)(learner, targets, read_margins if margins else read_scores)
        self.before = self._readings(self._evaluate(params))

    def after(self, displacements: Sequence[Params]) -> Iterator[Readings]:
        """Yield the readings of every target, evaluated at ``θ + d``, for one displacement after the other."""
        at_once = self._evaluate.at_once
        for start in range(0, len(displacements), at_once):
            with undisturbed():
                moved = [
                    _trees.add(self.params, displacement) for displacement in displacements[start : start + at_once]
                ]
                found = self._evaluate.at(moved)
            yield from map(self._readings, found)

    @undisturbed()
    def each(self, cells: Sequence[tuple[int, Params]]) -> Readings:
        """Evaluate some targets, each after a displacement of its own; cells of one displacement share one ``θ + d``."""
        moved = {id(displacement): _trees.add(self.params, displacement) for _, displacement in cells}
        return self._readings(self._evaluate.each([(k, moved[id(displacement)]) for k, displacement in cells]))

    def _readings(self, rows: Tensor) -> Readings:
        loss, accuracy = rows[:, :2].unbind(1)
        return Readings(loss, accuracy.float(), tuple(margins_of(rows)) if self._margins else None)
