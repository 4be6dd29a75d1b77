"""What a job says at its end."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import voxshift as vs
from voxshift.batch.storage import Storage, last_part

if TYPE_CHECKING:
    import pyarrow

SHOWN = 5  # errors and notes


def grouped(number: float) -> str:
    return f"{number:,.0f}"


@dataclass
class Summary:
    """Counts over the rows of a job."""

    classes: list[str]
    scans: int = 0
    labelled: int = 0
    skipped: int = 0
    points: int = 0  # of scans that were labelled now
    errors: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    counts: list[int] = field(default_factory=list)
    workers: set[str] = field(default_factory=set)
    milliseconds: float = 0
    first: Optional[datetime] = None
    last: Optional[datetime] = None
    sample: Optional[str] = None  # a scan that was labelled

    def add(self, table: pyarrow.Table) -> list[dict[str, Any]]:
        """Takes a batch; gives its rows."""
        rows = table.to_pylist()
        for row in rows:
            self.scans += 1
            if row["error"]:
                self.errors.append(row["error"])
                continue
            self.counts = [a + b for a, b in zip(self.counts or [0] * len(row["counts"]), row["counts"])]
            self.sample = self.sample or row["path"]
            if row["skipped"]:
                self.skipped += 1
                continue
            self.labelled += 1
            self.points += row["points"]
            self.milliseconds += row["milliseconds"]
            self.notes.update(row["notes"])
            self.workers.add(row["worker"])
            self.first = min(self.first or row["started"], row["started"])
            self.last = max(self.last or row["finished"], row["finished"])
        return rows

    @property
    def seconds(self) -> float:
        """From the first scan's start to the last one's end, of those that were labelled now."""
        return (self.last - self.first).total_seconds() if self.first and self.last else 0.0

    def shares(self) -> list[tuple[str, int]]:
        """Points of each class that has some, the largest first, the unlabelled last; of all labels, old and new."""
        names = [*self.classes, "unlabelled"]
        rows = [(name, count) for name, count in zip(names, self.counts) if count > 0]
        return sorted(rows, key=lambda row: (row[0] == "unlabelled", -row[1]))

    def to_json(self) -> bytes:
        """One document: scans, labelled, skipped, errors, seconds, scans and points per second, workers, classes, notes."""
        seconds = self.seconds
        rates = {name: number / seconds if seconds else None for name, number in
                 (("scans_per_second", self.labelled), ("points_per_second", self.points))}  # fmt: skip
        values = {"scans": self.scans, "labelled": self.labelled, "skipped": self.skipped, "errors": self.errors,
                  "seconds": seconds, **rates, "workers": sorted(self.workers), "classes": dict(self.shares()),
                  "notes": dict(self.notes)}  # fmt: skip
        return json.dumps(values, indent=2).encode() + b"\n"

    def text(self) -> str:
        """Lines for people."""
        lines = [f"{self.labelled} of {self.scans} scans labelled, {self.skipped} were labelled already, "
                 f"{len(self.errors)} errors"]  # fmt: skip
        if self.labelled and self.seconds:
            lines.append(
                f"{self.labelled / self.seconds:.2f} scans/s, {grouped(self.points / self.seconds)} points/s by "
                f"{len(self.workers)} workers, {self.seconds:.1f} s from the first scan to the last, "
                f"{self.milliseconds / self.labelled:.0f} ms a scan"
            )
        for kind, texts in (("error", self.errors), ("note", [f"{n} x {text}" for text, n in self.notes.most_common()])):
            lines += [f"{kind}: {text}" for text in texts[:SHOWN]]
            if len(texts) > SHOWN:
                lines.append(f"{kind}: .. and {len(texts) - SHOWN} more")
        total = max(1, sum(self.counts))
        lines += [f"{name:<20} {grouped(count):>15} points {100 * count / total:5.1f} %" for name, count in self.shares()]
        return "\n".join(lines)


def draw_sample(storage: Storage, scan: str, model: str, options: list[str]) -> bytes:
    """A PNG of a scan with its labels, as `voxshift segment --write png` draws it, on this machine.

    options: more of that command. Raises OSError "..: why there is none".
    """
    with tempfile.TemporaryDirectory(prefix="voxshift") as folder:
        path = Path(folder) / last_part(scan)
        path.write_bytes(storage.read(scan))
        place = Path(folder) / last_part(model)
        place.write_bytes(storage.read(model) if "://" in model else Path(model).read_bytes())
        command = [sys.executable, "-m", "voxshift", "segment", str(path), "--model", str(place), "--write", "png"]
        done = subprocess.run([*command, "--out", folder, *options], capture_output=True, text=True)
        if done.returncode != 0:
            raise vs.IoError(" ".join(done.stderr.split()) or f"`voxshift segment` ended with {done.returncode}")
        return path.with_suffix(".png").read_bytes()
