"""A Ray cluster of several node processes on this machine, of which nothing is left afterwards."""

import contextlib
import os
import shutil
import signal
import tempfile
import warnings
from pathlib import Path

import pytest
import voxshift as vs

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_USAGE_DISABLED": "1",
    "RAY_worker_niceness": "0",  # else 15, and a busy machine starves them
    "RAY_enable_metrics_collection": "0",
}


def parents():
    """pid -> pid of its parent, of all processes."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def descendants():
    """The processes that this one began, and those that they did."""
    table, found = parents(), {os.getpid()}
    while True:
        more = {pid for pid, parent in table.items() if parent in found} | found
        if more == found:
            return found - {os.getpid()}
        found = more


def end(processes):
    """Kills what is left of these processes, by their ids."""
    for pid in processes & set(parents()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def add_node(cluster, options, num_cpus):
    """Ray gives a node 30 seconds to start, which on a busy machine are few: a second and a third one is tried."""
    for tries_left in (2, 1, 0):
        before = descendants()
        try:
            return cluster.add_node(num_cpus=num_cpus, object_store_memory=80 << 20, **options)
        except Exception:
            end(descendants() - before)
            if tries_left == 0:
                raise


@contextlib.contextmanager
def running(nodes, cpus):
    """Gives the address of a cluster of so many nodes with so many processors each."""
    before = descendants()
    folder = tempfile.mkdtemp(prefix="vs", dir="/tmp")  # short: paths of sockets end at 107 letters
    package = str(Path(vs.__file__).parent.parent)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in {**SETTINGS, "RAY_TMPDIR": folder}.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", os.pathsep.join([package, str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
        from ray.cluster_utils import Cluster

        cluster = Cluster()
        try:
            for number in range(nodes):
                add_node(cluster, {"include_dashboard": False} if number == 0 else {}, num_cpus=cpus)
            yield cluster.address
        finally:
            began = descendants() - before
            cluster.shutdown()
            end(began)
            shutil.rmtree(folder, ignore_errors=True)
