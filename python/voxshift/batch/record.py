"""What is stored beside labels: FILE.label.json, one per scan, which `voxshift segment --skip-done` writes and reads, too.

{"voxshift": "0.2.0", "model": "minkunet-lidar.safetensors", "model_sha256": .., "options": {"dtype": "f32", ..},
 "scan": "000000.bin", "scan_bytes": .., "points": .., "files": {"000000.label": 493496},
 "counts": [points of class 0, .., of the last class, without class]}

Labels are done where version, hash and options are those of the job, the scan has this size, every file that the job writes
is there in its size, and none is older than the scan.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

from voxshift.batch.storage import FileState, Storage, last_part

EXTENSION = ".json"  # behind the name of the labels


def record_place(label: str) -> str:
    """Where the record of the labels lies: a path, or a URI whose options stay behind it."""
    head, question, options = label.partition("?") if "://" in label else (label, "", "")
    return f"{head}{EXTENSION}{question}{options}"


@dataclass(frozen=True)
class Maker:
    """What decides a scan's labels but the scan."""

    voxshift: str  # version
    model: str
    model_sha256: str
    options: dict[str, Any]  # those that are set, and the dtype that the network computes in

    def same(self, other: Maker) -> bool:
        """The name of the file does not count."""
        return (self.voxshift, self.model_sha256, self.options) == (other.voxshift, other.model_sha256, other.options)


@dataclass(frozen=True)
class Record:
    """What a record says."""

    maker: Maker
    scan: str
    scan_bytes: int
    points: int
    files: dict[str, int] = field(default_factory=dict)  # name beside the record -> bytes
    counts: list[int] = field(default_factory=list)

    def to_json(self) -> bytes:
        """One object, one line."""
        values = {**asdict(self.maker), **{name: value for name, value in vars(self).items() if name != "maker"}}
        return json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"


def record_from_json(data: bytes) -> Optional[Record]:
    """None for what is no record: such labels are made anew."""
    try:
        values = json.loads(data.decode("utf-8", "surrogateescape"))
        maker = Maker(*(values.pop(name) for name in ("voxshift", "model", "model_sha256", "options")))
        record = Record(maker, **values)
        numbers = [record.scan_bytes, record.points, *record.files.values(), *record.counts]
        return record if all(isinstance(number, int) for number in numbers) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _not_older(file: FileState, scan: FileState) -> bool:
    return file.changed_ns is None or scan.changed_ns is None or file.changed_ns >= scan.changed_ns


def read_record(storage: Storage, label: str) -> Optional[bytes]:
    """The record beside labels, None where there is none. Raises OSError where the storage cannot be asked."""
    try:
        return storage.read(record_place(label))
    except FileNotFoundError:
        return None


def is_done(storage: Storage, record: Record, label: str, scan: str, maker: Maker) -> bool:
    """Whether these labels are what the maker would make of the scan again. Raises OSError."""
    if not record.maker.same(maker):
        return False
    labels, source = storage.state(label), storage.state(scan)
    if labels is None or source is None:
        return False
    same_size = record.files.get(last_part(label)) == labels.size and record.scan_bytes == source.size
    return same_size and _not_older(labels, source)
