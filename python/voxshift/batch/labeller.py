"""The labeller: batches of scans in, rows of a table out, files beside them."""

from __future__ import annotations

import os
import posixpath
import socket
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

import voxshift as vs
from voxshift.batch.model_file import DEFAULT, ModelFile, hash_of, load_model
from voxshift.batch.reading import EXTENSIONS, points_for, read_scan
from voxshift.batch.record import Maker, Record, is_done, read_record, record_from_json, record_place
from voxshift.batch.rows import Row, rows_of, table_of
from voxshift.batch.storage import Storage, below, described, last_part, pyarrow_fs

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.fs import FileSystem

UNLABELLED = 255
AT_ONCE = 4  # scans of a batch that are on their way from and to storage while one is computed


def _assigned(resource: str) -> float:
    """What Ray gave the actor or task that runs this, 0 outside of one."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return 0
    context = ray.get_runtime_context()
    if context.worker.mode != ray.WORKER_MODE:
        return 0
    return float(context.get_assigned_resources().get(resource, 0))


@contextmanager
def _timed(row: Row) -> Iterator[None]:
    """Adds the time of the block to the row's; what it raises becomes the row's error."""
    start = time.perf_counter()
    row.started = row.started or time.time()
    try:
        yield
    except Exception as error:  # whatever a scan does, the others go on
        row.error = described(row.shown, error)
    finally:
        row.seconds += time.perf_counter() - start
        row.finished = time.time()


class Labeller:
    """Labels scans batch by batch: on Ray Data as `ds.map_batches(Labeller, fn_constructor_kwargs=.., ..)`, or called.

    It holds its arguments and pickles as them; the model is loaded where the first batch comes, or by load().

    out: the folder for the labels, a path or URI of pyarrow.fs (s3://, gs://, ..); None: the rows hold the labels
    themselves. model: a .safetensors file, by path or URI, or a trained model's name. device: None: "cuda" in a Ray actor
    that has a GPU, else "cpu". threads: None: the CPUs of the Ray actor, else all. dtype, profile: as of Model.load.
    sensor, remission_scale, origin: as of Model.segment. columns: of a .bin, as of read_points. format: of bytes, as
    "bin", where no path's extension tells. redo: label also what is labelled already. filesystem: the pyarrow.fs.FileSystem
    that all paths are of, in place of their schemes'.

    Labels are SemanticKITTI's .label files, uint32, bit by bit those of `voxshift segment`, complete or absent. Beside each
    lies a record, NAME.label.json (voxshift.batch.record): a scan whose labels and record match what would be made again
    is skipped.
    """

    def __init__(
        self,
        out: Optional[str] = None,
        *,
        model: str = DEFAULT,
        device: Optional[str] = None,
        threads: Optional[int] = None,
        dtype: str = "auto",
        profile: Optional[str] = None,
        sensor: Optional[str] = None,
        columns: Optional[int] = None,
        remission_scale: Optional[float] = None,
        origin: Optional[Sequence[float]] = None,
        format: Optional[str] = None,
        redo: bool = False,
        filesystem: Optional[FileSystem] = None,
    ) -> None:
        self.out, self.model, self.device, self.threads, self.dtype = out, str(model), device, threads, dtype
        self.profile, self.sensor, self.columns, self.remission_scale = profile, sensor, columns, remission_scale
        self.origin = None if origin is None else [float(value) for value in origin]
        self.format, self.redo, self.filesystem = format, redo, filesystem
        self._begin()

    def _begin(self) -> None:
        self._loaded: Optional[ModelFile] = None
        self._storage = Storage(self.filesystem)
        self._pool: Optional[ThreadPoolExecutor] = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()

    def load(self) -> ModelFile:
        """Loads the model, once; gives it with its file's name and hash. Raises OSError, ValueError, RuntimeError."""
        if self._loaded is None:
            pyarrow_fs()
            device = self.device or ("cuda" if _assigned("GPU") > 0 else "cpu")
            threads = self.threads or int(_assigned("CPU")) or (1 if _assigned("GPU") > 0 else None)
            self._loaded = load_model(self._storage, self.model, device, self.dtype, threads, self.profile)
        return self._loaded

    def maker(self) -> Maker:
        """What this labeller's records say of it. Raises as load()."""
        loaded = self.load()
        scale = None if self.remission_scale is None else float(np.float32(self.remission_scale))
        profile = self.profile
        if profile is not None and os.path.isfile(profile):
            with open(profile, "rb") as file:
                profile = "sha256:" + hash_of(file.read())
        given = {
            "dtype": loaded.model.dtype,
            "sensor": self.sensor,
            "columns": self.columns,
            "remission_scale": scale,
            "origin": self.origin,
            "preprocess": profile,
        }
        options = {name: value for name, value in given.items() if value is not None}
        return Maker(vs.__version__, loaded.name, loaded.sha256, options)

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> pyarrow.Table:
        """Labels a batch: {"path": [..]} or {"bytes": [..]}; with both, bytes are scans and path says what they are called.

        A column "label" names the files of labels; else they lie in `out` as the scan's name with .label.

        Gives a pyarrow.Table with a row per scan, in order: path; label, the path of the file, or without `out` also
        labels, uint8 [N], 255 for none; points; counts: of every class, the last for points without one; milliseconds of
        reading, computing and writing; started and finished (UTC); skipped, what was labelled already; notes, what was
        guessed; error: None, or what is wrong with this scan, whose other columns are then empty; worker, HOST:PID.
        Raises ValueError for a batch of other columns, and for nothing else.
        """
        rows = rows_of(batch)
        try:
            maker = self.maker()
        except Exception as error:
            for row in rows:
                row.error = described(self.model, error)
        else:
            self._label_all(rows, maker)
        worker = f"{socket.gethostname()}:{os.getpid()}"
        for row in rows:
            row.worker = worker
        return table_of(rows, self.out is None)

    def _label_all(self, rows: list[Row], maker: Maker) -> None:
        """The next scans are read and the last ones written while one is computed."""
        self._pool = self._pool or ThreadPoolExecutor(AT_ONCE + 2, "voxshift-io")
        reading: list[Future[Any]] = [self._pool.submit(self._fetch, row, maker) for row in rows[:AT_ONCE]]
        writing: list[Future[None]] = []
        for index, row in enumerate(rows):
            source = reading[index].result()
            reading[index] = None  # type: ignore[call-overload]  # its bytes
            if index + AT_ONCE < len(rows):
                reading.append(self._pool.submit(self._fetch, rows[index + AT_ONCE], maker))
            if source is None:
                continue
            with _timed(row), warnings.catch_warnings(record=True) as guesses:
                warnings.simplefilter("always")
                size = self._compute(row, source)
            if row.error is None:
                row.notes = [" ".join(str(guess.message).split()) for guess in guesses]
                if self.out is not None or row.label is not None:
                    writing.append(self._pool.submit(self._store, row, maker, size))
            if len(writing) >= AT_ONCE:
                writing.pop(0).result()
        for written in writing:
            written.result()

    def _extension(self, row: Row) -> str:
        name = last_part(row.path) if row.path is not None else ""
        extension = posixpath.splitext(name)[1].lower()
        if row.data is not None and self.format is not None:
            extension = "." + self.format.lower().lstrip(".")
        if extension not in EXTENSIONS:
            expected = ", ".join(EXTENSIONS)
            found = f"a name that ends in one of {expected}" if row.data is None else f"format= of the bytes, one of {expected}"
            raise vs.IoError(f"{row.shown}: expected {found}")
        return extension

    def _fetch(self, row: Row, maker: Maker) -> Union[None, str, bytes]:
        """A local file's path or the bytes of the scan; None where it is labelled or cannot be read."""
        with _timed(row):
            self._extension(row)
            if self.out is not None and row.label is None and row.path is not None:
                stem = posixpath.splitext(last_part(row.path))[0]
                row.label = below(self.out, stem + ".label")
            if self.out is not None and row.label is None:
                raise vs.IoError(f"{row.shown}: bytes that are labelled into a folder need a path or label beside them")
            if row.label is not None and self._skipped(row, maker):
                return None
            if row.data is not None:
                return row.data
            assert row.path is not None
            return self._storage.read_ahead(row.path) if self._storage.is_local(row.path) else self._storage.read(row.path)
        return None

    def _skipped(self, row: Row, maker: Maker) -> bool:
        """Whether the scan is labelled already."""
        assert row.label is not None
        data = read_record(self._storage, row.label)
        row.recorded = data is not None
        record = None if data is None or self.redo else record_from_json(data)
        if record is None or row.data is not None or row.path is None:
            return False
        if not is_done(self._storage, record, row.label, row.path, maker):
            return False
        row.skipped, row.points, row.counts = True, record.points, record.counts
        return True

    def _compute(self, row: Row, source: Union[str, bytes]) -> int:
        """Labels the scan; gives the bytes of its file."""
        model = self.load().model
        scan = read_scan(source, row.shown, self._extension(row), self.sensor, self.columns)
        origin = None if self.origin is None else [a - b for a, b in zip(self.origin, scan.origin)]
        row.labels = model.segment(
            points_for(scan, model.profile),
            sensor=self.sensor,
            remission_scale=self.remission_scale,
            origin=origin,
            frame=scan.origin.tolist(),
        )
        row.points = len(row.labels)
        counted = np.bincount(row.labels, minlength=UNLABELLED + 1)
        classes = len(model.classes)
        row.counts = [*counted[:classes].tolist(), int(counted[classes:].sum())]
        return os.path.getsize(source) if isinstance(source, str) else len(source)

    def _store(self, row: Row, maker: Maker, scan_bytes: int) -> None:
        """The record of other labels goes, then come the labels, then their record: a record tells of what is there."""
        with _timed(row):
            assert row.label is not None and row.labels is not None
            ids = np.zeros(UNLABELLED + 1, "<u4")
            classes = self.load().model.classes
            ids[: len(classes)] = [info.raw_id for info in classes]
            data = ids[row.labels].tobytes()
            if row.recorded:
                self._storage.remove(record_place(row.label))
            self._storage.write(row.label, data)
            files = {last_part(row.label): len(data)}
            record = Record(maker, last_part(row.shown), scan_bytes, row.points, files, row.counts)
            self._storage.write(record_place(row.label), record.to_json())
        row.labels = None
        if row.error is not None:
            row.points, row.counts = 0, []
