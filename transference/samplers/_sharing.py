"""Classes that sources and targets have in common: few-shot learning is tested on classes never seen in training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from transference.datasets import shared_classes
from transference.samplers._protocol import DescribingSampler
from transference.samplers.few_shot import FewShot


def shared_modes(sources: Sequence[DescribingSampler], targets: Sequence[DescribingSampler]) -> list[str]:
    """Return what to say of sources and targets of one dataset that show the same classes, a line for each two of them.

    Args:
        sources: the samplers of the sources; only those of images have classes.
        targets: those of the targets.
    """
    told = []
    for source, target in product(sources, targets):
        if not isinstance(source, FewShot) or not isinstance(target, FewShot):
            continue
        name, one, other = source.identity.mode, source.identity.split, target.identity.split
        if name != target.identity.mode:
            continue
        if one == other:
            told.append(f"{name}:{one} is source and target, so their tasks show the same classes and images")
        else:
            told += [f"{name}: {said}" for said in shared_classes({one: source.class_names, other: target.class_names})]
    return list(dict.fromkeys(told))
