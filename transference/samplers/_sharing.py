"""Classes that sources and targets have in common: few-shot learning is tested on classes never seen in training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from transference.datasets import shared_classes
from transference.samplers._protocol import TaskSampler
from transference.samplers.few_shot import FewShot
from transference.samplers.paired import PairedFewShot


def shared_modes(sources: Sequence[TaskSampler], targets: Sequence[TaskSampler]) -> list[str]:
    """Return what to say of sources and targets of one dataset that show the same classes, a line for each two of its splits.

    Args:
        sources: the samplers of the sources; only those of images have classes.
        targets: those of the targets.
    """
    told = []
    for source, target in product(sources, targets):
        if source.name == target.name and not isinstance(source, FewShot | PairedFewShot):
            told.append(f"{source.name} is source and target, so its targets are the sources themselves")
        if not isinstance(source, FewShot | PairedFewShot) or not isinstance(target, FewShot | PairedFewShot):
            continue
        (name, one), (beside, other) = _data(source), _data(target)
        if name != beside or type(source) is not type(target):
            continue
        if one == other:
            things = "images" if isinstance(source, FewShot) else "examples"
            told.append(f"{name}:{one} is source and target, so their tasks show the same classes and {things}")
        else:
            told += [f"{name}: {said}" for said in shared_classes({one: source.class_names, other: target.class_names})]
    return list(dict.fromkeys(told))


def _data(sampler: FewShot | PairedFewShot) -> tuple[str, str]:
    """Return the dataset and the split that tasks come from, whatever modalities they show."""
    who = sampler.identity if isinstance(sampler, FewShot) else sampler.identity.drawn
    return who.mode, who.split
