"""A scan: points and what else a file or message says of them, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np

from voxshift._voxshift import _COLOUR_NAMES, _FIELD_NAMES, IoError, PointCloud, _cloud_of_fields

# The first name that is there is taken, in any case, with or without CloudCompare's scalar_.
NAMES, COLOURS = _FIELD_NAMES, _COLOUR_NAMES


@dataclass(eq=False)
class Scan:
    """The points of a file or a message.

    The attributes but the last are those of voxshift.PointCloud.
    """

    points: np.ndarray
    """float32 [N, C >= 4]: x, y, z in metres less origin, remission in the source's unit or 0, further columns."""
    origin: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """float64 [3], 0 but where float32 would round the coordinates, as those of UTM."""
    has_remission: bool = False
    """Whether the source has one; else it is 0."""
    rgb: Optional[np.ndarray] = None
    """uint8 [N, 3] or None."""
    label: Optional[np.ndarray] = None
    """uint32 [N] or None: what the source has, not what a model found."""
    ring: Optional[np.ndarray] = None
    """int32 [N] or None: the beam of each point."""
    time: Optional[np.ndarray] = None
    """float64 [N] or None, in the source's unit."""
    fields: dict[str, np.ndarray] = field(default_factory=dict)
    """What else the source has of every point, [N] or [N, k], by the source's names and in its dtypes."""

    def __len__(self) -> int:
        return len(self.points)

    @property
    def xyz(self) -> np.ndarray:
        """float64 [N, 3]: the coordinates with the origin added."""
        return self.points[:, :3].astype(np.float64) + self.origin

    def __repr__(self) -> str:
        there = ["remission"] if self.has_remission else []
        there += [name for name in ("rgb", "label", "ring", "time") if getattr(self, name) is not None]
        return ", ".join([f"Scan(points={self.points.shape}", *there, *self.fields]) + ")"


def plain(name: str) -> str:
    """A field's name as NAMES has it."""
    name = name.lower()
    return name[len("scalar_") :] if name.startswith("scalar_") else name


def is_numbers(values: np.ndarray) -> bool:
    """Whether these are numbers of 1 to 8 bytes."""
    return values.dtype.kind in "biuf" and values.dtype.itemsize <= 8


def scan_of_cloud(cloud: PointCloud) -> Scan:
    """What the compiled reader found."""
    origin = np.array(cloud.origin, np.float64)
    return Scan(cloud.points, origin, cloud.has_remission, cloud.rgb, cloud.label, cloud.ring, cloud.time)


class _Named:
    """The fields of a source, one value per point, by the names that people give them."""

    def __init__(self, source: str, arrays: Mapping[str, np.ndarray]) -> None:
        self.source, self.arrays = source, arrays
        self.known: dict[str, str] = {}
        wanted = {"x", "y", "z"}.union(*NAMES.values(), *COLOURS)
        for name, values in arrays.items():
            if plain(name) not in wanted or not (values.ndim == 1 and is_numbers(values)):
                continue
            if plain(name) in self.known:
                raise IoError(f"{source}: has field {plain(name)} twice")
            self.known[plain(name)] = name

    def first(self, names: tuple[str, ...]) -> Optional[str]:
        return next((self.known[name] for name in names if name in self.known), None)

    def chosen(self) -> dict[str, str]:
        """The name that the compiled reader knows -> the source's."""
        found = {}
        for axis in "xyz":
            if axis not in self.known:
                names = ", ".join(self.arrays)[:200] or "none"
                raise IoError(f"{self.source}: has no field {axis} of numbers, expected x, y, z, found {names}")
            found[axis] = self.known[axis]
        has_s = "s" in map(plain, self.arrays)
        for kind, several in NAMES.items():
            # t beside s: the places of a mesh's points on a picture
            name = self.first(tuple(x for x in several if x != "t" or not has_s))
            if name is not None and not (kind == "rgb" and self.arrays[name].dtype.itemsize < 4):
                found[kind] = name
        if "rgb" not in found:
            for three in COLOURS:
                if all(colour in self.known for colour in three):
                    return found | dict(zip(COLOURS[0], (self.known[colour] for colour in three)))
        return found


def _native(values: np.ndarray) -> np.ndarray:
    """In this machine's byte order."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def scan_of_fields(
    source: str, arrays: Mapping[str, np.ndarray], columns: Optional[np.ndarray] = None
) -> Scan:
    """The scan of these fields, [N] or [N, k] each; columns [N, k] are put behind the remission.

    Fields that stand for nothing that a Scan knows are kept in `fields`. Raises IoError "SOURCE: .." where x, y or z is
    missing, a known field is there twice, or lengths differ.
    """
    rows = max((len(values) for name, values in arrays.items() if plain(name) == "x"), default=0)
    for name, values in arrays.items():
        if values.ndim < 1 or len(values) != rows and "x" in map(plain, arrays):
            raise IoError(f"{source}: expected {rows} values of {name}, one per point, found {list(values.shape)}")
    chosen = _Named(source, arrays).chosen()
    known: dict[str, Any] = {kind: _native(arrays[name]) for kind, name in chosen.items()}
    scan = scan_of_cloud(_cloud_of_fields(known, columns))
    taken = set(chosen.values())
    scan.fields = {name: values for name, values in arrays.items() if name not in taken}
    return scan
