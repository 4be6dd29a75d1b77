"""Labels of LAS tiles, block by block."""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from voxshift._voxshift import InvalidArgument, IoError, Model
from voxshift.io.label_las import Codes, code_table, codes_of, lookup_of, tile_copy
from voxshift.io.las import chunk_of, coordinates, opened
from voxshift.io.progress import progress as bar

CHUNK = 1 << 17  # points in memory at once, beside those of a block
USUAL_HEIGHT = 1.73  # metres, KITTI's sensor over the road
STEP = 100.0  # metres: heights are kept relative to a multiple of this
UNLABELLED = 255
_Path = Union[str, "os.PathLike[str]"]
# index: the point's place in the file, or -1 - that where the block has the point for its surroundings alone
_SPILLED = np.dtype([("index", "<i8"), ("point", "<f4", (4,))])


@dataclass
class _Remission:
    """What a whole tile's intensities look like, for one guess of their unit rather than one per block."""

    all: int = 0
    used: int = 0
    larger: int = 0
    beyond_byte: int = 0

    def add(self, values: np.ndarray, expected: float) -> None:
        self.all += len(values)
        self.used += int(np.count_nonzero(values))
        self.larger += int(np.count_nonzero(values > 2 * expected))
        self.beyond_byte += int(np.count_nonzero(values > 255))

    def guess(self, expected: float) -> Optional[float]:
        """As tasks/prepare_points.cpp guesses of one scan."""
        if self.larger * 100 <= self.all:
            return None
        return 65535.0 if self.beyond_byte * 1000 > self.all else 255.0


def _keys(cells: np.ndarray) -> np.ndarray:
    """int64 [N], one number for each of the squares [N, 2], in their order."""
    return (cells[:, 0] << 32) + cells[:, 1]


@dataclass
class _Blocks:
    """The points of a tile by the squares of a grid that begins at 0, 0 of its coordinates, in files of a folder."""

    folder: str
    block: float
    overlap: float
    low: float = 0.0
    cells: set[int] = field(default_factory=set)

    def path(self, cell: int) -> str:
        return os.path.join(self.folder, str(cell))

    def add(self, first: int, xyz: np.ndarray, remission: np.ndarray) -> None:
        """Points first, first + 1 .. of the tile: each to its own square and to those whose overlap it is in."""
        own = np.floor(xyz[:, :2] / self.block).astype(np.int64)
        inside = xyz[:, :2] - own * self.block
        index = np.arange(first, first + len(xyz))
        self.cells.update(np.unique(_keys(own)).tolist())
        near = {-1: inside < self.overlap, 0: np.ones_like(inside, bool), 1: inside >= self.block - self.overlap}
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                rows = np.flatnonzero(near[dx][:, 0] & near[dy][:, 1])
                if len(rows) > 0:
                    signed = index[rows] if dx == dy == 0 else -1 - index[rows]
                    self._spill(own[rows] + [dx, dy], signed, xyz[rows], remission[rows])

    def _spill(self, cells: np.ndarray, index: np.ndarray, xyz: np.ndarray, remission: np.ndarray) -> None:
        keys = _keys(cells)
        order = np.argsort(keys, kind="stable")
        found, starts = np.unique(keys[order], return_index=True)
        rows = np.empty(len(index), _SPILLED)
        rows["index"] = index
        rows["point"][:, :2] = xyz[:, :2] - (cells + 0.5) * self.block
        rows["point"][:, 2] = xyz[:, 2] - self.low
        rows["point"][:, 3] = remission
        for key, several in zip(found.tolist(), np.split(order, starts[1:])):
            with open(self.path(key), "ab") as stream:
                stream.write(rows[several].tobytes())

    def read(self, cell: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(points float32 [M, 4] relative to the square's middle, places in the file [M], whether its own [M])."""
        rows = np.fromfile(self.path(cell), _SPILLED)
        os.remove(self.path(cell))
        place = np.where(rows["index"] < 0, -1 - rows["index"], rows["index"])
        order = np.argsort(place)
        return np.ascontiguousarray(rows["point"][order]), place[order], rows["index"][order] >= 0


def _expected(profile: Any) -> float:
    """The remission of a perfect reflector, as the model takes it; 0 where it takes none."""
    scale = profile["scale"]
    return 1 / scale[3] if len(scale) > 3 and scale[3] > 0 else 0.0


def _origin(points: np.ndarray) -> list[float]:
    """Of a sensor over the block's middle: as tasks/prepare_points.cpp puts it where a scan has none."""
    x, y = points[:, :2].astype(np.float64).T
    near = points[np.hypot(x, y) < 10, 2]
    heights = near if len(near) > 0 else points[:, 2]
    return [0.0, 0.0, float(np.quantile(heights, 0.25)) + USUAL_HEIGHT]


def _chunks(reader: Any, shown: str) -> Iterator[tuple[int, Any]]:
    first = 0
    while first < reader.header.point_count:
        record = chunk_of(reader, CHUNK, shown)
        yield first, record
        first += len(record)


def _spill(path: Path, blocks: _Blocks, expected: float) -> _Remission:
    shown, seen = str(path), _Remission()
    with opened(path, shown) as reader:
        blocks.low = math.floor(float(reader.header.mins[2]) / STEP) * STEP if np.isfinite(reader.header.mins[2]) else 0.0
        for first, record in _chunks(reader, shown):
            remission = np.asarray(record.intensity, np.float32)
            blocks.add(first, coordinates(record), remission)
            seen.add(remission, expected)
    return seen


def _label(model: Any, path: Path, blocks: _Blocks, labels: np.ndarray, seen: _Remission, options: dict[str, Any],
           shown: Optional[bool]) -> None:
    """Fills the labels, block by block; each warning of a model is given once for the tile."""
    expected, guesses = _expected(model.profile), []
    if options.get("remission_scale") is None and options.get("sensor") is None and expected > 0:
        scale = seen.guess(expected)
        if scale is not None:
            guesses.append(f"intensity was taken for 0..{scale:.0f}, the model takes 0..{expected:g}")
            options = {**options, "remission_scale": scale}
        elif seen.used == 0 < seen.all:
            guesses.append("has no intensity: results will be worse than with it")
    for guess in guesses:
        warnings.warn(f"{path}: {guess}", UserWarning, stacklevel=3)
    at_sensor = model.profile["relative_to"] == "sensor"
    for cell in bar(sorted(blocks.cells), path.name, shown):
        points, place, own = blocks.read(cell)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of each block what was said of the tile
            found = model.segment(points, **options, **({"origin": _origin(points)} if at_sensor else {}))
        labels[place[own]] = found[own]


def _write(path: Path, target: Path, labels: np.ndarray, classes: Any, codes: Optional[Codes]) -> None:
    table = code_table(classes, codes)
    highest = max((int(codes_of(np.asarray(labels[i : i + CHUNK]), table).max(initial=0))
                   for i in range(0, len(labels), CHUNK)), default=0)
    with opened(path, str(path)) as reader, tile_copy(target, reader, highest, lookup_of(classes, table)) as write:
        for first, record in _chunks(reader, str(path)):
            write(record, codes_of(np.asarray(labels[first : first + len(record)]), table))


def _unlabelled(path: str, count: int) -> np.ndarray:
    """uint8 [count] in a file. It is written before it is mapped: a disk that is full is an error then, and no signal later."""
    if count == 0:
        return np.empty(0, np.uint8)
    with open(path, "wb") as stream:
        for first in range(0, count, CHUNK):
            stream.write(bytes([UNLABELLED]) * min(CHUNK, count - first))
    return np.memmap(path, np.uint8, "r+", shape=(count,))


@contextmanager
def _room_beside(target: Path) -> Iterator[str]:
    """A folder for the time of a tile. What the system refuses is an IoError of the file that was to be."""
    try:
        with tempfile.TemporaryDirectory(prefix=".voxshift", dir=target.parent) as folder:
            yield folder
    except IoError:
        raise
    except OSError as error:
        raise IoError(f"{target}: cannot be written: {error.strerror or error}") from error


def _targets(paths: list[Path], out: Path) -> list[Path]:
    if out.suffix.lower() in (".las", ".laz"):
        if len(paths) != 1:
            raise InvalidArgument(f"[label_tiles] expected a folder for {len(paths)} tiles, found {out}")
        targets = [out]
    else:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise IoError(f"{out}: folder cannot be created: {error.strerror}") from error
        targets = [out / path.name for path in paths]
    if len(set(targets)) != len(targets):
        raise InvalidArgument(f"[label_tiles] two tiles have the same name: {', '.join(sorted(p.name for p in paths))[:200]}")
    for path, target in zip(paths, targets):
        if target.exists() and target.samefile(path):
            raise InvalidArgument(f"[label_tiles] {target} would replace the tile that it is made of")
    return targets


def _tiles(paths: Union[_Path, Sequence[_Path]]) -> list[Path]:
    several = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    found: list[Path] = []
    for path in map(Path, several):
        if path.is_dir():
            found += sorted(one for one in path.iterdir() if one.suffix.lower() in (".las", ".laz"))
        elif path.suffix.lower() not in (".las", ".laz"):
            raise InvalidArgument(f"[label_tiles] expected .las and .laz files, found {path}")
        elif not path.is_file():
            raise IoError(f"{path}: No such file")
        else:
            found.append(path)
    if not found:
        raise InvalidArgument("[label_tiles] found no .las or .laz file")
    return found


def label_tiles(
    model: Model,
    paths: Union[_Path, Sequence[_Path]],
    out: _Path,
    *,
    block: float = 50.0,
    overlap: float = 5.0,
    codes: Optional[Codes] = None,
    sensor: Optional[str] = None,
    remission_scale: Optional[float] = None,
    progress: Optional[bool] = None,
) -> list[Path]:
    """Labels .las and .laz tiles with a model, and writes copies of them with the labels as classification.

    paths: a tile, several, or a folder of them. out: a folder, where copies get the names of the tiles, or for one tile a
    .las or .laz file. block: metres, the side of the squares into which a tile is cut; overlap: metres of its surroundings
    that the model sees beyond a square. A point's label is that of the square whose middle is nearest, so none is labelled
    twice. Squares begin at multiples of block, whatever the tile's bounds. codes: as of write_labels. sensor,
    remission_scale: as of Model.segment; the unit of intensities is else guessed once for a tile, with a UserWarning.

    A model that expects the sensor at the origin has it over the middle of each square, 1.73 m over the ground there; a
    model for tiles finds middle and ground itself. Memory grows with the points of a square and not with the tile; on disk
    24 bytes a point, and as much again for those in overlaps, are needed beside the results while a tile is labelled.
    Coordinates and all other fields of the copies are the tile's, bit by bit; a copy is complete or absent.
    progress: a bar on standard error; unless given, where that is a terminal.

    Returns the paths of the copies. Raises OSError for a tile that cannot be read or written, ValueError for a model that is
    not for points or takes more than x, y, z and remission, and where a copy would replace its tile; ImportError where
    laspy, or lazrs for .laz, is missing.
    """
    profile = model.profile
    if not profile or len(profile.get("scale", ())) > 4 or "scale" not in profile:
        raise InvalidArgument("[label_tiles] expected a model that labels points of x, y, z and remission")
    if not (math.isfinite(block) and block > 0 and 0 <= overlap <= block):
        raise InvalidArgument(f"[label_tiles] expected block above 0 and overlap of 0 to block, found {block} and {overlap}")
    tiles = _tiles(paths)
    targets = _targets(tiles, Path(out))
    given = {"sensor": sensor, "remission_scale": remission_scale}
    options = {name: value for name, value in given.items() if value is not None}
    for path, target in zip(tiles, targets):
        with _room_beside(target) as folder:
            blocks = _Blocks(folder, block, overlap)
            seen = _spill(path, blocks, _expected(profile))
            labels = _unlabelled(os.path.join(folder, "labels"), seen.all)
            _label(model, path, blocks, labels, seen, options, progress)
            _write(path, target, labels, list(model.classes) or None, codes)
    return targets
