"""nuScenes' tables: a JSON file each, rows that name each other by tokens. Arrays of what a dataset needs of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from voxshift._voxshift import IoError

Row = dict[str, Any]
LIDAR = "LIDAR_TOP"
VELOCITY_SECONDS = 1.5  # annotations further apart give no velocity
COLUMNS = {
    "scene": ("token", "name", "first_sample_token"),
    "sample": ("token", "timestamp", "next"),
    "sample_data": ("token", "sample_token", "ego_pose_token", "calibrated_sensor_token", "timestamp", "filename",
                    "is_key_frame", "prev"),
    "ego_pose": ("token", "translation", "rotation"),
    "calibrated_sensor": ("token", "sensor_token", "translation", "rotation", "camera_intrinsic"),
    "sensor": ("token", "channel", "modality"),
    "sample_annotation": ("token", "sample_token", "instance_token", "translation", "size", "rotation", "prev", "next",
                          "num_lidar_pts"),
    "instance": ("token", "category_token"),
    "category": ("token", "name"),
    "lidarseg": ("sample_data_token", "filename"),
}  # fmt: skip


class Tables:
    """The tables of a folder, each read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_token: dict[str, dict[str, Row]] = {}
        self._matrices: dict[tuple[str, str], np.ndarray] = {}

    def rows(self, table: str) -> list[Row]:
        """All rows. Raises IoError "FILE: .." for a missing file, what is no table, and missing columns."""
        path = self.folder / f"{table}.json"
        try:
            rows = json.loads(path.read_bytes())
        except OSError as error:
            raise IoError(f"{path}: cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise IoError(f"{path}: expected a table in JSON: {error}") from None
        needed = COLUMNS[table]
        for i, row in enumerate(rows if isinstance(rows, list) else [rows]):
            if not isinstance(rows, list) or not isinstance(row, dict):
                raise IoError(f"{path}: expected a list of rows, found {type(row).__name__}")
            for column in needed:
                if column not in row:
                    raise IoError(f"{path}: expected {', '.join(needed)} in every row, row {i} has no {column}")
        return list(rows)

    def by_token(self, table: str, wanted: Callable[[Row], bool] = lambda row: True) -> dict[str, Row]:
        """Token -> row, kept; of the first call the wanted rows alone, for most of a large table is of radars and images."""
        if table not in self._by_token:
            self._by_token[table] = {row["token"]: row for row in self.rows(table) if wanted(row)}
        return self._by_token[table]

    def get(self, table: str, token: str, of: str) -> Row:
        """The row of a token that a row of the table `of` names. Raises IoError where it is missing."""
        try:
            return self.by_token(table)[token]
        except KeyError:
            raise IoError(f"{self.folder / of}.json: names {table} {token}, which {table}.json does not have") from None

    def matrix(self, table: str, token: str, of: str) -> np.ndarray:
        """float64 [4, 4] of a row's translation and rotation (a quaternion w, x, y, z), kept."""
        if (table, token) not in self._matrices:
            rows = [self.get(table, token, of)]
            quaternion, translation = self.column(table, rows, "rotation", 4), self.column(table, rows, "translation", 3)
            self._matrices[table, token] = transform(quaternion[0], translation[0])
        return self._matrices[table, token]

    def column(self, table: str, rows: Sequence[Row], name: str, count: int) -> np.ndarray:
        """float64 [rows, count], finite, of quaternions none of 0. Raises IoError."""
        try:
            values = np.array([row[name] for row in rows], np.float64).reshape(len(rows), -1)
        except (TypeError, ValueError):
            values = np.empty((0, 0))
        right = values.shape == (len(rows), count) and np.isfinite(values).all()
        if rows and not (right and (name != "rotation" or values.any(axis=1).all())):
            if len(rows) > 1:  # one of them by itself
                for row in rows:
                    self.column(table, [row], name, count)
            raise IoError(f"{self.folder / table}.json: expected {count} numbers as {name} of {rows[0]['token']}")
        return values.reshape(-1, count)


def rotation(quaternion: np.ndarray) -> np.ndarray:
    """float64 [3, 3] of w, x, y, z, of any length but 0."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])


def transform(quaternion: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """float64 [4, 4]."""
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = rotation(quaternion), translation
    return result


@dataclass(eq=False)
class Shot:
    """What a sensor took at a moment."""

    file: str
    timestamp: int
    """Microseconds."""
    ego: np.ndarray
    """float64 [4, 4]: car to world."""
    sensor: np.ndarray
    """float64 [4, 4]: sensor to car."""
    intrinsic: Optional[np.ndarray] = None
    """float64 [3, 3] of a camera."""

    @property
    def pose(self) -> np.ndarray:
        """float64 [4, 4]: sensor to world."""
        return self.ego @ self.sensor


def shot(tables: Tables, row: Row) -> Shot:
    """Of a row of sample_data."""
    sensor = tables.get("calibrated_sensor", row["calibrated_sensor_token"], "sample_data")
    ego = tables.matrix("ego_pose", row["ego_pose_token"], "sample_data")
    found = Shot(row["filename"], int(row["timestamp"]), ego,
                 tables.matrix("calibrated_sensor", sensor["token"], "sample_data"))
    if sensor["camera_intrinsic"]:
        found.intrinsic = tables.column("calibrated_sensor", [sensor], "camera_intrinsic", 9).reshape(3, 3)
    return found


@dataclass(eq=False)
class Annotations:
    """The boxes of a sample, in the world."""

    centres: np.ndarray
    sizes: np.ndarray
    """float64 [M, 3]: width, length, height."""
    rotations: np.ndarray
    """float64 [M, 4]: w, x, y, z."""
    velocities: np.ndarray
    """float64 [M, 3], NaN where unknown."""
    points: np.ndarray
    """int64 [M]: LiDAR points in each."""
    categories: list[str]
    instances: list[str]


def velocities(tables: Tables, rows: Sequence[Row]) -> np.ndarray:
    """float64 [rows, 3]: from the annotation before to the one after, or this one where there is none; NaN where unknown."""
    table = "sample_annotation"
    firsts = [tables.get(table, row["prev"], table) if row["prev"] else row for row in rows]
    lasts = [tables.get(table, row["next"], table) if row["next"] else row for row in rows]
    first, last = ([tables.get("sample", one["sample_token"], table)["timestamp"] for one in ends] for ends in (firsts, lasts))
    seconds = 1e-6 * (np.array(last, np.int64) - np.array(first, np.int64))
    limits = [VELOCITY_SECONDS * (2 if row["prev"] and row["next"] else 1) for row in rows]
    seconds[(seconds <= 0) | (seconds > limits)] = np.nan
    way = tables.column(table, lasts, "translation", 3) - tables.column(table, firsts, "translation", 3)
    return way / seconds[:, None]


def annotations_of(tables: Tables, rows: Sequence[Row]) -> Annotations:
    """Of rows of sample_annotation."""
    table = "sample_annotation"
    instances = [tables.get("instance", row["instance_token"], table) for row in rows]
    return Annotations(
        tables.column(table, rows, "translation", 3),
        tables.column(table, rows, "size", 3),
        tables.column(table, rows, "rotation", 4),
        velocities(tables, rows),
        np.array([row["num_lidar_pts"] for row in rows], np.int64),
        [tables.get("category", one["category_token"], "instance")["name"] for one in instances],
        [one["token"] for one in instances],
    )


def samples_of(tables: Tables, scene: Row) -> list[str]:
    """Tokens of a scene's samples in the order of time."""
    found: dict[str, None] = {}
    token, of = scene["first_sample_token"], "scene"
    while token:
        if token in found:
            raise IoError(f"{tables.folder / 'sample'}.json: sample {token} of {scene['name']} follows itself")
        found[token] = None
        token, of = tables.get("sample", token, of)["next"], "sample"
    return list(found)
