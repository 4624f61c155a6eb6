"""Which tasks exist, and how to draw one again. A sampler is anything with ``name`` and ``[index] -> Episode``."""

from transference.samplers._drawing import FewShotName
from transference.samplers._opening import open_tasks, reopen_tasks
from transference.samplers._own import is_own, load_tasks, mode_of
from transference.samplers._protocol import (
    DescribingSampler,
    RedrawingSampler,
    TaskRecord,
    TaskSampler,
    episode_of,
    sampler_digest,
    task_record,
)
from transference.samplers._sharing import shared_modes
from transference.samplers._subsets import ALL, Subset, choose_modalities, mode_in_order
from transference.samplers.few_shot import FewShot, few_shot
from transference.samplers.functions import FAMILIES, FunctionFamily, FunctionFamilyName
from transference.samplers.paired import PairedFewShot, PairedName, input_shapes

__all__ = [
    "ALL",
    "FAMILIES",
    "DescribingSampler",
    "FewShot",
    "FewShotName",
    "FunctionFamily",
    "FunctionFamilyName",
    "PairedFewShot",
    "PairedName",
    "RedrawingSampler",
    "Subset",
    "TaskRecord",
    "TaskSampler",
    "choose_modalities",
    "episode_of",
    "few_shot",
    "input_shapes",
    "is_own",
    "load_tasks",
    "mode_in_order",
    "mode_of",
    "open_tasks",
    "reopen_tasks",
    "sampler_digest",
    "shared_modes",
    "task_record",
]
