"""Which tasks exist, and how to draw one again. A sampler is anything with ``name`` and ``[index] -> Episode``."""

from transference.samplers._protocol import DescribingSampler, TaskRecord, TaskSampler, sampler_digest, task_record
from transference.samplers.few_shot import FewShot, FewShotName, few_shot

__all__ = [
    "DescribingSampler",
    "FewShot",
    "FewShotName",
    "TaskRecord",
    "TaskSampler",
    "few_shot",
    "sampler_digest",
    "task_record",
]
