"""A job on a Ray cluster."""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

import voxshift as vs
from voxshift.batch.labeller import Labeller
from voxshift.batch.listing import Scan
from voxshift.batch.rows import Row, table_of
from voxshift.batch.storage import one_line

if TYPE_CHECKING:
    import pyarrow

TRIES = 3  # of a batch whose worker dies
ENDED = "ended the worker that labelled it, and others after it (out of memory?)"
LARGEST_BATCH = 16
BATCHES_OF_WORKER = 16  # at least, where there are scans enough, so that none waits long for the last one


def last_line(error: BaseException) -> str:
    """What an error of Ray says last, where the error of the worker stands."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class JobFailed(vs.Error):
    """What ends a job, as one line: the cluster, not a scan."""


@dataclass
class Workers:
    """How many, and what each has; None: as many as the cluster has room for."""

    count: Optional[int] = None
    cpus: float = 1
    gpus: float = 0


def ray_library() -> Any:
    """Ray with Ray Data. Raises ImportError with the line of pip where they are missing."""
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in ("ray", "pandas", "pyarrow"):
            raise
        raise ImportError(
            f"{error.name} is missing, which Ray Data needs: pip install 'voxshift[ray]'; "
            "--local N labels by N processes of this machine, without Ray"
        ) from error
    return ray


@contextmanager
def _without_errors_shown() -> Iterator[None]:
    """What Ray's core writes to standard error while it starts is left out: it tells there how much it will tell."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def connect(address: Optional[str]) -> str:
    """Joins the cluster at `address`, or that of RAY_ADDRESS, else starts one on this machine; says which. Raises JobFailed."""
    ray = ray_library()
    if ray.is_initialized():
        return "the cluster that this process has joined"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would ask on a terminal, and tell others
    os.environ.setdefault("RAY_DATA_USAGE_DISABLED", "1")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what it prints beside its log files
    try:
        with _without_errors_shown():
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=None if address else False,
            )
    except Exception as error:
        raise JobFailed(f"Ray: {one_line(error)}") from error
    nodes = sum(node["Alive"] for node in ray.nodes())
    return f"Ray {ray.__version__} with {nodes} node{'s' * (nodes != 1)}, {int(ray.cluster_resources().get('CPU', 0))} CPUs"


def fitting(workers: Workers) -> int:
    """How many workers the cluster has room for. Raises JobFailed where there is none for one."""
    ray = ray_library()
    room = []
    for node in ray.nodes():
        has = node["Resources"] if node["Alive"] else {}
        wanted = (("CPU", workers.cpus), ("GPU", workers.gpus))
        room.append(min([int(has.get(name, 0) / amount) for name, amount in wanted if amount > 0] or [1]))
    if sum(room) == 0:
        raise JobFailed(f"no node of the cluster has {workers.cpus:g} CPUs and {workers.gpus:g} GPUs for a worker")
    return sum(room)


def batch_size(scans: int, workers: int) -> int:
    return max(1, min(LARGEST_BATCH, scans // (workers * BATCHES_OF_WORKER)))


class _Tries:
    """An actor that counts how often a batch was begun: more than once only where a worker died."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()

    def begin(self, batch: str) -> int:
        self.begun[batch] += 1
        return self.begun[batch]


class _PatientLabeller(Labeller):
    """Gives up a batch that has ended so many workers: its rows say ENDED. counter: an actor of _Tries."""

    def __init__(self, counter: Any, tries: int, arguments: Mapping[str, Any]) -> None:
        super().__init__(**arguments)
        self.counter, self.tries = counter, tries

    def __call__(self, batch: Mapping[str, Any]) -> pyarrow.Table:
        paths = [str(path) for path in batch["path"]]
        if ray_library().get(self.counter.begin.remote(paths[0])) > self.tries:
            return table_of([Row(path=path, error=f"{path}: {ENDED}") for path in paths], self.out is None)
        return super().__call__(batch)


def _tables(
    scans: Sequence[Scan], arguments: Mapping[str, Any], workers: Workers, count: int, size: int, tries: int
) -> Iterator[pyarrow.Table]:
    """A table per batch, as they are done."""
    import pyarrow as pa

    ray = ray_library()
    table = pa.table({"path": [scan.path for scan in scans], "label": [scan.label for scan in scans]})
    blocks = [table.slice(start, size) for start in range(0, len(scans), size)]
    counter = ray.remote(num_cpus=0)(_Tries).remote()
    dataset = ray.data.from_arrow(blocks).map_batches(
        _PatientLabeller,
        fn_constructor_args=(counter, tries, dict(arguments)),
        batch_size=size,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=min(count, len(blocks))),
        num_cpus=workers.cpus,
        num_gpus=workers.gpus or None,
    )
    yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow")


def label_on_ray(
    scans: Sequence[Scan],
    arguments: Mapping[str, Any],
    workers: Workers,
    batch: Optional[int] = None,
    tries: int = TRIES,
) -> Iterator[pyarrow.Table]:
    """Labels scans on the cluster that this process has joined; gives a table per batch, in the order they are done.

    arguments: of Labeller. batch: scans of a batch. A batch whose worker dies is begun again by another; scans of batches
    that have ended `tries` workers are tried one by one, and those that still do are rows with an error. Raises JobFailed.
    """
    ray = ray_library()
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    count = workers.count or fitting(workers)
    left = {scan.path: scan for scan in scans}
    for size in (batch or batch_size(len(scans), count), 1):
        try:
            for table in _tables(list(left.values()), arguments, workers, count, size, tries):
                ended = [str(error).endswith(ENDED) for error in table["error"].to_pylist()]
                if any(ended) and size > 1:
                    continue  # the rows of a batch are all of this kind or none
                for path in table["path"].to_pylist():
                    left.pop(path, None)
                yield table
        except (ray.exceptions.RayError, RuntimeError, ValueError, OSError) as error:
            raise JobFailed(f"Ray: {last_line(error)}") from error
        if not left:
            return
