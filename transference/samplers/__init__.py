"""Which tasks exist, and how to draw one again. A sampler is anything with ``name`` and ``[index] -> Episode``."""

from transference.samplers._opening import open_tasks, reopen_tasks
from transference.samplers._protocol import (
    DescribingSampler,
    RedrawingSampler,
    TaskRecord,
    TaskSampler,
    sampler_digest,
    task_record,
)
from transference.samplers._sharing import shared_modes
from transference.samplers.few_shot import FewShot, FewShotName, few_shot
from transference.samplers.functions import FAMILIES, FunctionFamily, FunctionFamilyName

__all__ = [
    "FAMILIES",
    "DescribingSampler",
    "FewShot",
    "FewShotName",
    "FunctionFamily",
    "FunctionFamilyName",
    "RedrawingSampler",
    "TaskRecord",
    "TaskSampler",
    "few_shot",
    "open_tasks",
    "reopen_tasks",
    "sampler_digest",
    "shared_modes",
    "task_record",
]
