"""Where work is carried out: in this process, or by the workers of a Dask cluster.

What the work is, this room does not know: a bench takes an item and gives answers, and a job is what a bench can be
set up from in another process. Dask is imported when a cluster is asked for.
"""

from transference.executors._clusters import check_cluster, open_cluster
from transference.executors._protocol import Bench, Executor, InProcess, Job, Packed

__all__ = ["Bench", "Executor", "InProcess", "Job", "Packed", "check_cluster", "open_cluster"]
