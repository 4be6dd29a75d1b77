"""Point clouds of Open3D, there and back. Open3D is imported when it is first needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np
from numpy.typing import ArrayLike

from voxshift._voxshift import ClassInfo, InvalidArgument, PointCloud, _cloud_of_fields

if TYPE_CHECKING:
    import open3d

UNLABELLED, UNLABELLED_COLOUR = 255, (128, 128, 128)


def _import_open3d() -> Any:
    try:
        import open3d
    except ImportError as error:
        raise ImportError("to_open3d needs Open3D: pip install open3d") from error
    return open3d


def _train_ids(labels: ArrayLike, classes: Sequence[ClassInfo], points: int) -> np.ndarray:
    """uint8 [N], UNLABELLED where a label has no class."""
    labels = np.asarray(labels)
    if labels.shape != (points,) or labels.dtype.kind not in "iu":
        raise InvalidArgument(
            f"[to_open3d] expected whole numbers as labels, [{points}], found {labels.dtype} {list(labels.shape)}"
        )
    return np.where((labels >= 0) & (labels < len(classes)), labels, UNLABELLED).astype(np.uint8)


def to_open3d(
    cloud: Union[PointCloud, ArrayLike],
    labels: Optional[ArrayLike] = None,
    classes: Optional[Sequence[ClassInfo]] = None,
) -> open3d.t.geometry.PointCloud:
    """The points as an open3d.t.geometry.PointCloud; from_open3d turns it back.

    cloud: of read_points, or floats [N, C >= 3]: x, y, z, remission, further columns. labels [N]: train ids, as of
    Model.segment; classes: their table, as Model.classes.

    Attributes, each where there is one: positions float32 [N, 3], float64 where the cloud has an origin, which is added;
    colors uint8 [N, 3], of the classes where there are labels, else the cloud's own; intensity float32 [N, 1], in the
    file's unit; columns float32 [N, C - 4], the further ones; label uint32, ring int32, time float64, train_id uint8,
    all [N, 1]. For open3d.visualization.draw_geometries: to_open3d(..).to_legacy(), which keeps positions and colors.

    Raises ImportError where Open3D is missing, ValueError for other shapes, and for labels without classes.
    """
    open3d = _import_open3d()
    origin: np.ndarray = np.zeros(3)
    fields: dict[str, Optional[np.ndarray]] = {}
    if isinstance(cloud, PointCloud):
        points, has_remission, origin = cloud.points, cloud.has_remission, np.array(cloud.origin)
        fields |= {"colors": cloud.rgb, "label": cloud.label, "ring": cloud.ring, "time": cloud.time}
    else:
        points = np.asarray(cloud)
        if points.ndim != 2 or points.shape[1] < 3 or points.dtype.kind != "f":
            raise InvalidArgument(
                f"[to_open3d] expected floats [N, C >= 3], found {points.dtype} {list(points.shape)}"
            )
        has_remission = points.shape[1] > 3
    wide = origin.any() or points.dtype == np.float64
    fields["positions"] = points[:, :3] + origin if wide else points[:, :3].astype(np.float32)
    if has_remission:
        fields["intensity"] = points[:, 3].astype(np.float32)
    if points.shape[1] > 4:
        fields["columns"] = points[:, 4:].astype(np.float32)
    if labels is not None:
        if classes is None:
            raise InvalidArgument("[to_open3d] labels have no colours without classes, such as Model.classes")
        train_ids = fields["train_id"] = _train_ids(labels, classes, len(points))
        colours = [info.rgb for info in classes] + [UNLABELLED_COLOUR] * (UNLABELLED + 1 - len(classes))
        fields["colors"] = np.array(colours, np.uint8)[train_ids]
    result = open3d.t.geometry.PointCloud()
    for name, values in fields.items():
        if values is not None:
            rows = values if values.ndim == 2 else values[:, None]
            result.point[name] = open3d.core.Tensor(np.ascontiguousarray(rows))
    return result


def from_open3d(cloud: Union[open3d.t.geometry.PointCloud, open3d.geometry.PointCloud]) -> PointCloud:
    """The points of an Open3D cloud, of open3d.t.geometry or the older open3d.geometry, as read_points gives a file's.

    Attributes are known by the names that fields of files have: remission, intensity, reflectivity ..; label, class ..;
    ring, channel; t, time ..; colors of 0..1, 0..255 or 0..65535; columns, which to_open3d makes. Others are left out.
    Positions in float64 that float32 would round, as those of UTM, get an origin. Raises TypeError for what is no
    cloud of Open3D's.
    """
    if hasattr(cloud, "point"):
        attributes = {name: values.cpu().numpy() for name, values in cloud.point.items()}
        positions = attributes.pop("positions", np.empty((0, 3), np.float32))
    elif hasattr(cloud, "points") and hasattr(cloud, "has_colors"):
        positions, attributes = np.asarray(cloud.points), {}
        if cloud.has_colors():
            attributes["colors"] = np.asarray(cloud.colors)
    else:
        raise TypeError(f"[from_open3d] expected a PointCloud of Open3D's, found {type(cloud).__name__}")
    colours = attributes.pop("colors", np.empty((len(positions), 0)))
    columns = attributes.pop("columns", None)
    fields = {name: values.reshape(-1) for name, values in attributes.items() if values.size == len(positions)}
    fields |= dict(zip("xyz", positions.T)) | dict(zip(("red", "green", "blue"), colours.T))
    return _cloud_of_fields(fields, columns)
