"""Batches of scans and tables of what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

import voxshift as vs

if TYPE_CHECKING:
    import pyarrow


@dataclass
class Row:
    """A scan on its way from a batch to a table."""

    path: Optional[str] = None  # of the scan, or what its bytes are called
    data: Optional[bytes] = None
    label: Optional[str] = None  # the path of its labels
    recorded: bool = False  # whether a record lies beside that path
    labels: Optional[np.ndarray] = None
    points: int = 0
    counts: list[int] = field(default_factory=list)
    seconds: float = 0
    started: float = 0
    finished: float = 0
    skipped: bool = False
    notes: list[str] = field(default_factory=list)
    error: Optional[str] = None
    worker: str = ""

    @property
    def shown(self) -> str:
        return self.path if self.path is not None else "<bytes>"


def _column(batch: Mapping[str, Any], name: str, rows: Optional[int]) -> Optional[list[Any]]:
    if name not in batch:
        return None
    values = batch[name]
    values = values.to_pylist() if hasattr(values, "to_pylist") else list(values)
    if rows is not None and len(values) != rows:
        raise vs.InvalidArgument(f'[Labeller] expected {rows} values of "{name}", one per scan, found {len(values)}')
    return values


def rows_of(batch: Mapping[str, Sequence[Any]]) -> list[Row]:
    """The scans of a batch. Raises ValueError where it has neither path nor bytes, or columns of several lengths."""
    found = {name: _column(batch, name, None) for name in ("path", "bytes")}
    first = found["bytes"] if found["path"] is None else found["path"]
    if first is None:
        names = ", ".join(map(str, batch)) or "none"
        raise vs.InvalidArgument(f'[Labeller] expected a batch with the column "path" or "bytes", found {names}')
    rows = [Row() for _ in first]
    for name, attribute, kind in (("path", "path", str), ("bytes", "data", bytes), ("label", "label", str)):
        for row, value in zip(rows, _column(batch, name, len(rows)) or ()):
            setattr(row, attribute, None if value is None else kind(value))
    return rows


def schema(with_labels: bool) -> pyarrow.Schema:
    """The columns of a Labeller's table."""
    import pyarrow as pa

    where = [("label", pa.string())] + ([("labels", pa.list_(pa.uint8()))] if with_labels else [])
    return pa.schema(
        [
            ("path", pa.string()),
            *where,
            ("points", pa.int64()),
            ("counts", pa.list_(pa.int64())),
            ("milliseconds", pa.float64()),
            ("started", pa.timestamp("us", "UTC")),
            ("finished", pa.timestamp("us", "UTC")),
            ("skipped", pa.bool_()),
            ("notes", pa.list_(pa.string())),
            ("error", pa.string()),
            ("worker", pa.string()),
        ]
    )


def _time(seconds: float) -> Optional[datetime]:
    return datetime.fromtimestamp(seconds, timezone.utc) if seconds else None


def table_of(rows: Sequence[Row], with_labels: bool) -> pyarrow.Table:
    """A row per scan, in the order of the batch."""
    import pyarrow as pa

    columns: dict[str, list[Any]] = {
        "path": [row.path for row in rows],
        "label": [None if row.error else row.label for row in rows],
        "labels": [row.labels for row in rows],
        "points": [row.points for row in rows],
        "counts": [row.counts for row in rows],
        "milliseconds": [row.seconds * 1e3 for row in rows],
        "started": [_time(row.started) for row in rows],
        "finished": [_time(row.finished) for row in rows],
        "skipped": [row.skipped for row in rows],
        "notes": [row.notes for row in rows],
        "error": [row.error for row in rows],
        "worker": [row.worker for row in rows],
    }
    columns_wanted = schema(with_labels)
    return pa.table([pa.array(columns[name], kind) for name, kind in zip(columns_wanted.names, columns_wanted.types)],
                    schema=columns_wanted)
