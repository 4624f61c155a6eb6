"""A run that grows stage by stage, while what it is measured on is being trained."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from typing import Any

from transference.devices import full_precision, undisturbed
from transference.measurement._measure import measure_at
from transference.measurement._provenance import provenance, threads_of
from transference.measurement._question import Question
from transference.measurement._work import Work
from transference.progress import progress_bar
from transference.store import Run, Store


@undisturbed()
def measure_stage(question: Question, store: Store, about: Mapping[str, Any]) -> Run:
    """Measure one checkpoint more, and keep what the run has of others.

    Other than in `measure` the run tells of a stage when its last file is written: the stage of a training that was killed need not come
    again.

    Args:
        question: of one checkpoint, ``beside`` those that the run has.
        store: of the run, begun or not.
        about: what run.json is to say beside the spec.

    Raises:
        LearnerError: the learner does not fit the checkpoint.
        SpecMismatchError: the folder holds a run of another spec, or one of this step with other parameters.
        StoreError: the folder holds something else.
    """
    (checkpoint,) = question.checkpoints
    with store.writing(waiting=lambda: None, say=lambda _: None), full_precision(), threads_of(store):
        question = question.as_begun(store)
        subjects = question.subjects()
        question, found = question.with_engine(subjects)
        spec = question.spec
        told = {**provenance(question.checkpoints, question.device, None), **about}
        store.clear(checkpoint.step)  # what one that was killed left, perhaps of other parameters
        with closing(Work(question, subjects, store.path)) as work:
            if store.begun:
                store.write_as(spec)
            else:
                store.begin(spec, {**told, "theta": work.theta, "trial": asdict(found) if found else None})
                store.write_tasks(work.tasks())
                store.write_view()
            with progress_bar(spec.n_cells, unit="pair", shown=False) as bar:
                measure_at(checkpoint.step, spec, store, work, bar)
        store.grow(spec, {"checkpoints": told["checkpoints"], **about})
    return Run(store.path)
