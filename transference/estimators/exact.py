"""The definition, carried out: adapt and evaluate every target at θ + d."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from transference import _trees
from transference.devices import undisturbed
from transference.engines import Evaluate, Trial, check_engine, find_engine, trial
from transference.episodes import Episode, Params
from transference.estimators._protocol import Readings
from transference.learners import Learner


@dataclass(frozen=True)
class _Targets:
    params: Params
    evaluate: Evaluate
    before: Readings


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

    def settle(self, learner: Learner, params: Params, targets: Sequence[Episode], n_pairs: int) -> tuple[Exact, Trial | None]:
        """Return the estimator with an engine, and the trial that chose it, if there was a choice.

        Raises:
            UsageError: the engine that was named cannot evaluate the learner.
        """
        if self.engine != "auto":
            check_engine(self.engine, learner, params, targets[0])
            return self, None
        found = trial(learner, params, targets, n_pairs)
        return replace(self, engine=found.chosen), found

    @undisturbed()
    def prepare(self, learner: Learner, params: Params, targets: Sequence[Episode]) -> _Targets:
        """Evaluate every target at θ."""
        evaluate = find_engine(self.engine)(learner, targets)
        return _Targets(params, evaluate, _readings(evaluate(params)))

    @undisturbed()
    def after(self, prepared: _Targets, displacement: Params) -> Readings:
        """Evaluate every target at ``θ + displacement``."""
        return _readings(prepared.evaluate(_trees.add(prepared.params, displacement)))

    @undisturbed()
    def each(self, prepared: _Targets, cells: Sequence[tuple[int, Params]]) -> Readings:
        """Evaluate some targets, each after a displacement of its own, given as number and displacement; return ``[n_cells]``."""
        moved = {id(displacement): _trees.add(prepared.params, displacement) for _, displacement in cells}
        return _readings(prepared.evaluate.each([(k, moved[id(displacement)]) for k, displacement in cells]))


def _readings(scores: Tensor) -> Readings:
    loss, accuracy = scores.unbind(1)
    return Readings(loss, accuracy.float())
