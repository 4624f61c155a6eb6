"""Which cluster is meant by ``--cluster``: one of this machine, one that is running, or jobs of SLURM."""

from __future__ import annotations

import importlib
import logging
import os
import re
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import current_process, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from transference.errors import ClusterError, UsageError, first_line
from transference.plain import read_toml, unfit

if TYPE_CHECKING:
    from distributed import Client

    from transference.executors._dask import DaskCluster

ClusterLike: TypeAlias = "str | Client"

_REACH = 10.0
"""Seconds in which a scheduler must answer."""

_MOST_LOCAL = 4096

_FORMS = "local:N, tcp://HOST:PORT or slurm:FILE.toml"

_QUIET: Mapping[str, Any] = {
    "distributed.worker.daemon": True,
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.comm.timeouts.connect": f"{_REACH:g}s",
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.nanny.pre-spawn-environ": {},  # which it would write into our own environment
}
"""Settings of Dask for a cluster of our own."""

_NO_DASHBOARD = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
"""A scheduler always has a web server: here one that this machine alone can reach, and that has no pages."""

_SLURM: Mapping[str, type] = {
    "scale": int, "lifetime": str, "lifetime-stagger": str, "cores": int, "memory": str, "processes": int, "queue": str, "account": str,
    "walltime": str, "job-cpu": int, "job-mem": str, "job-name": str, "job-extra-directives": list, "job-directives-skip": list,
    "job-script-prologue": list, "local-directory": str, "log-directory": str, "python": str, "interface": str, "death-timeout": int,
    "worker-extra-args": list, "shebang": str,
}  # fmt: skip
"""What a file for ``slurm:`` may hold: how many jobs, how long a worker lives, and settings of ``dask_jobqueue.SLURMCluster``."""

_NEEDED = ("scale", "memory")


def check_cluster(where: ClusterLike) -> None:
    """Make sure, without connecting, that a text can mean a cluster, and that Dask is installed.

    Raises:
        UsageError: it cannot, or Dask is not installed.
    """
    if isinstance(where, str):
        kind, rest = _parsed(where)
        if kind == "slurm":
            read_slurm(Path(rest))
    _imported("dask_jobqueue" if isinstance(where, str) and where.startswith("slurm:") else "distributed")


@contextmanager
def open_cluster(
    where: ClusterLike, *, threads: int, device: str, say: Callable[[str], object]
) -> Iterator[DaskCluster]:
    """Connect to a cluster, which is started first if it is one of our own, and ended with the block.

    Args:
        where: ``"local:N"``, ``"tcp://HOST:PORT"``, ``"slurm:FILE.toml"``, or a client of ``distributed`` that is
            connected already.
        threads: of each worker of this machine.
        device: ``"cpu"`` or ``"cuda"``; with the latter each worker of this machine has a GPU of its own.
        say: told of what one waits for.

    Yields:
        The cluster, with a worker at least.

    Raises:
        UsageError: it means no cluster, or Dask is not installed.
        ClusterError: it cannot be reached or started.
    """
    check_cluster(where)
    from transference.executors._dask import DaskCluster

    with ExitStack() as stack:
        if not isinstance(where, str):
            found = DaskCluster(where, str(where.scheduler.address if where.scheduler else "of the client"), say)
        else:
            stack.enter_context(_silent())
            kind, rest = _parsed(where)
            start = {"local": _local, "slurm": _slurm}.get(kind)
            cluster = stack.enter_context(start(rest, threads, device)) if start else where
            found = DaskCluster(stack.enter_context(_connected(cluster, where)), where, say, _expected(kind, rest))
        found.await_workers()
        yield found


def _parsed(where: str) -> tuple[str, str]:
    """Return what kind of cluster a text means, and the rest of it.

    Raises:
        UsageError: it means none.
    """
    kind, _, rest = where.partition(":")
    if kind == "local" and rest.isascii() and rest.isdecimal() and 1 <= int(rest) <= _MOST_LOCAL:
        return kind, rest
    if kind == "slurm" and rest:
        return kind, rest
    if re.fullmatch(r"(tcp|tls|ws|wss)://[^\s/:]+:\d+|(tcp|tls|ws|wss)://\[[0-9a-fA-F:]+\]:\d+", where):
        return kind, rest
    raise UsageError(f"The cluster {where!r} was asked for; give {_FORMS}.")


def _expected(kind: str, rest: str) -> int:
    """Return how many workers a cluster of our own will have, 0 where that is not ours to say."""
    if kind == "slurm":
        settings = read_slurm(Path(rest))
        return int(settings["scale"]) * int(settings.get("processes", settings.get("cores", 1)))
    return int(rest) if kind == "local" else 0


def _imported(name: str) -> Any:  # noqa: ANN401 - a library without types
    """Return a library of the extra ``cluster``.

    Raises:
        UsageError: it is not installed.
        ModuleNotFoundError: it is, and lacks another.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not str(error.name).startswith(name.partition(".")[0]):
            raise
        raise UsageError(
            f"A cluster was asked for, and {name.replace('_', '-')} is not installed. Install it: pip install 'transference[cluster]'."
        ) from error


@contextmanager
def _silent() -> Iterator[None]:
    """Keep Dask's own log from stderr: what it has to say is said in a line of ours."""
    import dask

    names = ("distributed", "tornado", "asyncio", "dask_jobqueue", "bokeh")
    before = {name: logging.getLogger(name).level for name in names}
    import distributed  # noqa: F401 - which sets the levels of its loggers when it is imported

    with dask.config.set(_QUIET):
        loggers = [
            logging.getLogger(name) for name in logging.root.manager.loggerDict if name.startswith("distributed")
        ]
        before |= {logger.name: logger.level for logger in loggers}
        try:
            for name in before:
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)


@contextmanager
def _connected(cluster: Any, where: str) -> Iterator[Client]:  # noqa: ANN401 - an address, or a cluster of a library without types
    """Connect a client.

    Yields:
        It.

    Raises:
        ClusterError: nobody answers.
    """
    from distributed import Client

    try:
        client = Client(cluster, timeout=_REACH, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(
            f"The cluster {where} could not be reached within {_REACH:g} seconds ({first_line(error)}). "
            "Is its scheduler running, and may this machine connect to it?"
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=2)


@contextmanager
def _local(text: str, threads: int, device: str) -> Iterator[Any]:
    """Start workers on this machine, each a process.

    Yields:
        Their cluster.

    Raises:
        ClusterError: they do not start.
        UsageError: there are fewer GPUs than workers.
    """
    from distributed import Nanny, Scheduler
    from distributed.deploy.spec import SpecCluster

    if getattr(current_process(), "_inheriting", False):  # a worker that imports the script which started it
        raise ClusterError(
            "A script that asks for a cluster of this machine must do so below: if __name__ == '__main__':"
        )
    environments = [{**_of_one(threads), **gpu} for gpu in _gpus(int(text), device)]
    host = "127.0.0.1"
    with tempfile.TemporaryDirectory(prefix="transference-", ignore_cleanup_errors=True) as scratch:
        workers = {
            k: {
                "cls": Nanny,
                "options": {
                    "nthreads": 1, "host": host, "env": env, "local_directory": scratch, "memory_limit": 0, "dashboard": False,
                    "silence_logs": logging.CRITICAL + 1,
                },
            }
            for k, env in enumerate(environments)
        }  # fmt: skip
        scheduler = {"cls": Scheduler, "options": {"host": host, "port": 0, **_NO_DASHBOARD}}
        try:
            with _without_interrupts():
                cluster = SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL + 1)
        except (OSError, RuntimeError, TimeoutError) as error:
            raise ClusterError(
                f"The workers of local:{text} could not be started ({first_line(error)}). In a script, call below: "
                "if __name__ == '__main__':"
            ) from error
        with _ended(cluster):
            yield cluster


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start threads and processes that a Ctrl-C does not reach, as it would reach all of a terminal: who asked ends them.

    What a thread blocks is inherited by all that it starts. A Ctrl-C that comes meanwhile is put off to the end of the block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # started by a thread that blocks signals, it would let them through there
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _ended(cluster: Any) -> Iterator[None]:  # noqa: ANN401 - of a library without types
    try:
        yield
    finally:
        cluster.close(timeout=10)


def _of_one(threads: int) -> dict[str, str]:
    """Return the environment in which a worker has so many threads, whatever library they are of."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))


def _gpus(n: int, device: str) -> list[dict[str, str]]:
    """Return for each worker the environment in which it sees one GPU.

    Raises:
        UsageError: there are fewer GPUs.
    """
    if device != "cuda":
        return [{} for _ in range(n)]
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in seen.split(",")] if seen else [str(k) for k in range(torch.cuda.device_count())]
    if n > len(names):
        raise UsageError(
            f"local:{n} was asked for with --device cuda; there are {len(names)} GPUs, and each worker takes one."
        )
    return [{"CUDA_VISIBLE_DEVICES": name} for name in names[:n]]


@contextmanager
def _slurm(text: str, threads: int, device: str) -> Iterator[Any]:
    """Ask SLURM for workers.

    Yields:
        Their cluster.

    Raises:
        ClusterError: it refuses.
    """
    del device  # SLURM tells a job which GPUs are its own
    settings = read_slurm(Path(text))
    try:
        cluster = slurm_cluster(settings, threads)
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(f"{text}: the workers could not be asked for ({first_line(error)}).") from error
    with _ended(cluster):
        try:
            cluster.scale(jobs=settings["scale"])
        except (OSError, RuntimeError) as error:
            raise ClusterError(f"{text}: SLURM took no jobs ({first_line(error)}). Is there an sbatch here?") from error
        yield cluster


def read_slurm(path: Path) -> dict[str, Any]:
    """Return the settings in a file for ``slurm:``, by their names with hyphens.

    Raises:
        UsageError: it cannot be read, is no TOML, lacks a setting, or has one that is not known or of another type.
    """
    try:
        content = read_toml(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"slurm:{path}: {error.strerror}. Give the TOML file with the settings of the jobs."
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{path} is no TOML file of settings ({error}). Write one a line, for example scale = 8."
        ) from error
    found = {name.replace("_", "-"): value for name, value in content.items()}
    if strange := [name for name in found if name not in _SLURM]:
        raise UsageError(f"{path} has {', '.join(strange)}, which no job has; it may have {', '.join(_SLURM)}.")
    if lacking := [name for name in _NEEDED if name not in found]:
        raise UsageError(f"{path} lacks {' and '.join(lacking)}: how many jobs, and how much memory each has.")
    words = {int: "a whole number", str: "a text in quotes", list: "a list of texts"}
    for name, value in found.items():
        kind = _SLURM[name]
        texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
        if not (texts if kind is list else isinstance(value, kind) and not isinstance(value, bool)):
            raise UsageError(f"{path}: {unfit(name, value, words[kind])}.")
    for name in ("scale", "cores", "processes"):
        if found.get(name, 1) < 1:
            raise UsageError(f"{path}: {unfit(name, found[name], 'at least 1')}.")
    return found


def slurm_cluster(settings: Mapping[str, Any], threads: int) -> Any:  # noqa: ANN401 - of a library without types
    """Return a cluster that can ask SLURM for jobs, and has not yet.

    Args:
        settings: as `read_slurm` has them.
        threads: of each worker.
    """
    from dask_jobqueue import SLURMCluster

    given = {name.replace("-", "_"): value for name, value in settings.items() if name in _SLURM}
    del given["scale"]
    living = [
        f"--{name}={given.pop(name.replace('-', '_'))}" for name in ("lifetime", "lifetime-stagger") if name in settings
    ]
    cores = given.pop("cores", threads)
    exported = [f"export {name}={value}" for name, value in _of_one(threads).items()]
    return SLURMCluster(
        **{
            "local_directory": "${TMPDIR:-/tmp}",
            **given,
            "cores": cores,
            "processes": given.get("processes", max(1, cores // threads)),
            "worker_extra_args": ["--no-dashboard", *living, *_texts(given.get("worker_extra_args"))],
            "job_script_prologue": [*exported, *_texts(given.get("job_script_prologue"))],
            "scheduler_options": _NO_DASHBOARD,
            "silence_logs": logging.CRITICAL + 1,
        }
    )


def _texts(listed: Sequence[str] | None) -> Sequence[str]:
    return listed or ()
