"""A job on this machine without Ray."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, Optional

from voxshift.batch.labeller import Labeller
from voxshift.batch.listing import Scan
from voxshift.batch.on_ray import ENDED, TRIES, batch_size
from voxshift.batch.rows import Row, table_of

if TYPE_CHECKING:
    import pyarrow

_labeller: Optional[Labeller] = None


def _begin(arguments: dict[str, Any]) -> None:
    global _labeller
    _labeller = Labeller(**arguments)


def _label(scans: list[Scan]) -> pyarrow.Table:
    assert _labeller is not None
    return _labeller({"path": [scan.path for scan in scans], "label": [scan.label for scan in scans]})


def _run(
    batches: deque[list[Scan]], arguments: dict[str, Any], workers: int
) -> Generator[pyarrow.Table, None, list[list[Scan]]]:
    """A table per batch, as they are done. When a process dies, which ends all of a pool, returns the batches begun then.

    Takes from `batches` what it begins.
    """
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (arguments,)) as pool:
        running: dict[Future[Any], list[Scan]] = {}
        lost: list[list[Scan]] = []
        while batches or running:
            try:
                while batches and len(running) < 2 * workers and not lost:
                    running[pool.submit(_label, batches[0])] = batches[0]
                    batches.popleft()
            except BrokenProcessPool:  # of what runs, where anything does
                if not running:
                    return lost
            ready, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ready:
                batch = running.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    lost.append(batch)
                else:
                    yield future.result()
            if lost and not running:
                break
    return lost


def label_locally(
    scans: Sequence[Scan], arguments: Mapping[str, Any], workers: int, batch: Optional[int] = None, tries: int = TRIES
) -> Iterator[pyarrow.Table]:
    """Labels scans by that many processes of this machine; gives a table per batch, in the order they are done.

    arguments: of Labeller; threads: None: the processors in equal shares. When a process dies, new ones go on. Scans that
    were on their way when `tries` processes died get a process of their own, and those that end it are rows with an error.
    """
    given = dict(arguments)
    given["threads"] = arguments.get("threads") or max(1, (os.cpu_count() or 1) // workers)
    size = batch or batch_size(len(scans), workers)
    waiting = deque(list(scans[start : start + size]) for start in range(0, len(scans), size))
    deaths: Counter[str] = Counter()
    while waiting:
        for lost in (yield from _run(waiting, given, workers)):
            deaths[lost[0].path] += 1
            if deaths[lost[0].path] < tries:
                waiting.append(lost)
                continue
            for scan in lost:
                for alone in (yield from _run(deque([[scan]]), given, 1)):
                    yield table_of([Row(path=scan.path, error=f"{scan.path}: {ENDED}") for scan in alone], False)
