"""Labels as the classification of a LAS tile, in a copy of it."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from numpy.typing import ArrayLike

from voxshift._voxshift import ClassInfo, InvalidArgument
from voxshift.io.atomic import written_atomically
from voxshift.io.las import chunk_of, laspy_for, opened

CHUNK = 1 << 18  # points in memory at once
# ASPRS LAS 1.4 R15, table 17, by the names that data sets give such classes
ASPRS = {
    "ground": 2, "terrain": 2, "other-ground": 2, "sidewalk": 2, "grass": 3, "vegetation": 5, "tree": 5, "trees": 5,
    "trunk": 5, "natural": 5, "building": 6, "water": 9, "rail": 10, "rail-track": 10, "road": 11, "parking": 11,
    "lane-marking": 11, "road-marking": 11, "wire": 14, "utility-line": 14, "bridge": 17,
}
UNCLASSIFIED, FIRST_OWN = 1, 64
FIVE_BITS = 31
# The point formats of LAS 1.4 that have the same fields as the older ones, with 8 bits of classification
NEWER = {0: 6, 1: 6, 2: 7, 3: 7, 4: 9, 5: 10}
Codes = Mapping[Union[str, int], int]


def code_table(classes: Optional[Sequence[ClassInfo]], codes: Optional[Codes]) -> Optional[np.ndarray]:
    """uint8 [256] code of every train id; None where labels are codes already."""
    if classes is None and codes is None:
        return None
    names = [info.name for info in classes or ()]
    table = np.arange(FIRST_OWN, FIRST_OWN + 256)
    table[np.minimum(table, 255) != table] = 255
    table[255] = UNCLASSIFIED
    if classes is None:
        table[:] = UNCLASSIFIED
    for train_id, name in enumerate(names):
        table[train_id] = ASPRS.get(name.lower().replace("_", "-").replace(" ", "-"), table[train_id])
    for key, code in (codes or {}).items():
        at = names.index(str(key)) if key in names else key
        if not isinstance(at, (int, np.integer)) or not 0 <= at <= 255:
            raise InvalidArgument(f"[write_labels] codes has {key!r}, which is neither a class nor a train id")
        if not 0 <= code <= 255:
            raise InvalidArgument(f"[write_labels] expected codes of 0..255, found {code} for {key!r}")
        table[at] = code
    return table.astype(np.uint8)


def codes_of(labels: np.ndarray, table: Optional[np.ndarray]) -> np.ndarray:
    """uint8 [N]: the classification of labels."""
    if labels.max(initial=0) > 255:
        raise InvalidArgument(f"[write_labels] a classification holds 0..255, found {labels.max()}")
    narrow = labels.astype(np.uint8)
    return narrow if table is None else table[narrow]


def lookup_of(classes: Optional[Sequence[ClassInfo]], table: Optional[np.ndarray]) -> dict[int, bytes]:
    """Code -> names of its classes, cut to the 15 bytes that LAS has for them."""
    names: dict[int, list[str]] = {}
    if classes is None or table is None:
        return {}
    for train_id, info in enumerate(classes):
        names.setdefault(int(table[train_id]), []).append(info.name)
    return {code: ",".join(several).encode()[:15] for code, several in names.items()}


class TileCopy:
    """Writes a copy of a tile piece by piece, with other classifications."""

    def __init__(self, laspy: Any, header: Any, highest: int) -> None:
        self.laspy, self.old = laspy, header.point_format
        self.header = copy.deepcopy(header)
        self.newer = self.old.id < 6 and highest > FIVE_BITS
        if self.newer:
            kind = laspy.PointFormat(NEWER[self.old.id])
            for dimension in self.old.extra_dimensions:
                kind.add_extra_dimension(laspy.ExtraBytesParams(
                    dimension.name, dimension.dtype, dimension.description, dimension.offsets, dimension.scales,
                    dimension.no_data))
            self.header.set_version_and_point_format(laspy.header.Version(1, 4), kind)

    def piece(self, record: Any, codes: np.ndarray) -> Any:
        """The points with these codes, in the format of the copy."""
        if not self.newer:
            record.classification = codes
            return record
        new = self.laspy.ScaleAwarePointRecord.zeros(len(record), header=self.header)
        there = set(new.point_format.dimension_names)
        for name in self.old.dimension_names:
            if name in there and name != "classification":
                new[name] = record[name]
        new["scan_angle"] = np.round(np.asarray(record["scan_angle_rank"], np.float64) / 0.006).astype(np.int16)
        new["classification"] = codes
        return new


@contextmanager
def tile_copy(
    path: Path, reader: Any, highest: int, lookup: Optional[Mapping[int, bytes]] = None
) -> Iterator[Any]:
    """A function write(record, codes) of the file `path`, which is there, complete, when the block ends well."""
    laspy = laspy_for(path)
    tile = TileCopy(laspy, reader.header, highest)
    if lookup:
        vlr = laspy.vlrs.known.ClassificationLookupVlr()
        vlrs = [one for one in tile.header.vlrs if not isinstance(one, type(vlr))]
        for code, name in sorted(lookup.items()):
            vlr[code] = name.decode(errors="ignore")
        tile.header.vlrs = laspy.vlrs.vlrlist.VLRList([*vlrs, vlr])
    with written_atomically(path) as temporary:
        try:
            packed = path.suffix.lower() == ".laz"
            with open(temporary, "wb+") as stream, laspy.open(
                stream, mode="w", header=tile.header, closefd=False, do_compress=packed
            ) as writer:
                yield lambda record, codes: writer.write_points(tile.piece(record, codes))
                if reader.evlrs and tile.header.version.minor >= 4:
                    writer.write_evlrs(reader.evlrs)
        except Exception as error:
            if type(error).__module__.split(".")[0] == "lazrs":  # a full disk, among others
                raise OSError(str(error)) from error
            raise


def write_las(
    path: Path,
    labels: ArrayLike,
    source: Union[str, os.PathLike[str]],
    classes: Optional[Sequence[ClassInfo]] = None,
    codes: Optional[Codes] = None,
) -> None:
    """As write_labels says of .las and .laz."""
    values = np.asarray(labels)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise InvalidArgument(f"[write_labels] expected whole numbers [N], found {values.dtype} {list(values.shape)}")
    table = code_table(classes, codes)
    new = codes_of(values, table)
    shown = os.fspath(source)
    with opened(Path(source), shown) as reader:
        if reader.header.point_count != len(new):
            raise InvalidArgument(f"[write_labels] {shown} has {reader.header.point_count} points, found {len(new)} labels")
        with tile_copy(path, reader, int(new.max(initial=0)), lookup_of(classes, table)) as write:
            for start in range(0, len(new), CHUNK):
                record = chunk_of(reader, CHUNK, shown)
                write(record, new[start : start + len(record)])
