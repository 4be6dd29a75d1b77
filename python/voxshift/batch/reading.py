"""A scan's points, as a network takes them."""

from __future__ import annotations

import io
from typing import Any, Optional, Union

import numpy as np

from voxshift.io import Scan, read_points

EXTENSIONS = (".bin", ".npy", ".npz", ".ply", ".pcd", ".las", ".laz")  # of files that hold one scan
SENSOR_COLUMNS = {"kitti": 4, "nuscenes": 5, "waymo": 6, "ouster": 4, "livox": 4}  # of a .bin


class _Named(io.BytesIO):
    """Bytes that have the name of their file, for messages."""

    name = ""


def read_scan(
    source: Union[str, bytes], shown: str, extension: str, sensor: Optional[str], columns: Optional[int]
) -> Scan:
    """The scan in a local file, or in the bytes of one, of which `shown` is the name. Raises OSError "FILE: ..".

    columns: of a .bin; None: those of the sensor, or what the values show.
    """
    if columns is None and sensor is not None:
        columns = SENSOR_COLUMNS.get(sensor)
    if extension != ".bin":
        columns = None
    if isinstance(source, str):
        return read_points(source, columns=columns)
    stream = _Named(source)
    stream.name = shown
    return read_points(stream, format=extension, columns=columns)


def points_for(scan: Scan, profile: Any) -> np.ndarray:
    """float32 [N, C]: of a network on coloured rooms x, y, z, red, green, blue, where the scan has colours."""
    takes_colours = profile.get("blocks") is not None and len(profile["scale"]) == 6
    if takes_colours and scan.points.shape[1] < 6 and scan.rgb is not None:
        return np.column_stack([scan.points[:, :3], scan.rgb.astype(np.float32)])
    return scan.points
