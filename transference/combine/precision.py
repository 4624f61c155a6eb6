"""Gradients weighted, number by number, by how certain each modality is of them. Experimental.

    d_j = Σ_m w_mj mean_mj,    w_mj = (1 / var_mj) / Σ_k (1 / var_kj)

After the abstract of BOGC-MML (Guo et al., arXiv 2505.23071), which is all that was read of it: each modality's gradient as a random
variable, its precision as per-dimension evidence, fused by a reduced Dempster-Shafer rule. How the paper estimates the variances and what
its rule is, is not known to us; here the variances are those of means over parts of the queries, and the rule is the precision-weighted
mean, which keeps the properties that any such rule should have: equally certain modalities count alike, one that knows nothing is ignored,
and where none knows anything there is no step. A learner that reads the queries together, by batch statistics, sees each part alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transference.errors import UsageError


@dataclass(frozen=True)
class Precision:
    """The precision-weighted mean of the gradients, with variances over parts of the queries.

    Args:
        parts: of one size, into which the queries of every task are split; query k goes into part k mod parts, so that each
            holds every class.

    Raises:
        UsageError: the parts are fewer than two.
    """

    parts: int = 5

    def __post_init__(self) -> None:
        if self.parts < 2:
            raise UsageError(f"precision was given {self.parts} parts; a variance needs two or more.")

    def __call__(self, losses: Tensor, gradients: Tensor) -> Tensor:
        """Return the weighted mean of the gradients ``[m, parts, n]``, ``[n]``."""
        del losses
        variances = gradients.var(dim=1) / gradients.shape[1]
        silent = (gradients == 0).all(dim=1)  # a loss that does not depend on a parameter says nothing of it
        return fused(gradients.mean(dim=1), variances.masked_fill(silent, torch.inf))


def fused(means: Tensor, variances: Tensor) -> Tensor:
    """Return the precision-weighted mean over the first dimension of ``[m, n]``; 0 where every variance is infinite.

    Precisions are taken relative to the largest, which is 1, so that a variance of 0 needs no case of its own.
    """
    least = variances.min(dim=0).values
    relative = torch.where(variances == least, 1.0, least / variances).masked_fill(variances == torch.inf, 0.0)
    return (relative * means).sum(dim=0) / relative.sum(dim=0).clamp(min=1.0)
