"""What is to be seen at one time, of whatever a program has it in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union, cast

import numpy as np

from voxshift._voxshift import ClassInfo, InvalidArgument, to_device

NO_CLASS = 255


@dataclass(eq=False)
class Frame:
    """Points, and what was found in them."""

    points: np.ndarray
    """float32 [N, C >= 3]: x, y, z in metres less origin, remission where has_remission says so."""
    labels: Optional[np.ndarray] = None
    """uint8 [N], rows of the classes, 255 for none; or None."""
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 7), np.float32))
    """float32 [M, 7]: x, y, z of the centre, length, width, height, yaw, in the frame of the points."""
    scores: Optional[np.ndarray] = None
    """float32 [M] or None."""
    classes: Optional[np.ndarray] = None
    """int32 [M], rows of the classes, of the boxes; or None."""
    name: str = ""
    seconds: Optional[float] = None
    has_remission: bool = False
    origin: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """float64 [3]"""


KNOWN = ("points", "labels", "boxes", "scores", "classes", "name", "seconds", "has_remission", "origin")

AnyFrame = Union[Frame, np.ndarray, Mapping[str, Any], Any]
AnyClasses = Optional[Sequence[Union[ClassInfo, str, tuple[str, Sequence[int]]]]]


def array(x: Any) -> np.ndarray:
    """Of anything that is one, on the CPU."""
    return np.asarray(to_device(x, "cpu") if hasattr(x, "__cuda_array_interface__") else x)


def refuse(what: str, expected: str, found: Any) -> InvalidArgument:
    return InvalidArgument(f"[frame] {what} expects {expected}, found {found}")


def _points_of(given: Any) -> tuple[np.ndarray, bool]:
    points = array(given)
    if points.ndim != 2 or points.shape[1] < 3 or points.dtype.kind not in "fiu":
        raise refuse("points", "numbers [N, C], C at least 3", f"{points.dtype} {list(points.shape)}")
    return np.ascontiguousarray(points, np.float32), points.shape[1] > 3


def _labels_of(given: Any, count: int) -> np.ndarray:
    labels = array(given)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise refuse("labels", f"whole numbers [{count}]", f"{labels.dtype} {list(labels.shape)}")
    return np.where((labels >= 0) & (labels < NO_CLASS), labels, NO_CLASS).astype(np.uint8)


def _boxes_of(given: Any) -> np.ndarray:
    boxes = array(given)
    if boxes.ndim != 2 or boxes.shape[1] < 7:
        raise refuse("boxes", "numbers [M, 7 or more]", f"{boxes.dtype} {list(boxes.shape)}")
    return np.ascontiguousarray(boxes[:, :7], np.float32)


def _of_boxes(given: Any, what: str, count: int, dtype: type) -> Optional[np.ndarray]:
    if given is None:
        return None
    values = array(given)
    if values.shape != (count,):
        raise refuse(what, f"one a box, [{count}]", list(values.shape))
    return values.astype(dtype)


def _fields_of(given: Any) -> dict[str, Any]:
    """By the names of Frame; what an object has by other names, or for every point, is not looked at."""
    if isinstance(given, Mapping):
        unknown = sorted(set(given) - set(KNOWN))
        if unknown:
            raise refuse("a dict", " ".join(KNOWN), unknown[0])
        fields = dict(given)
    elif hasattr(given, "points"):
        fields = {name: getattr(given, name, None) for name in KNOWN}
    else:
        fields = {"points": given}
    if fields.get("points") is None:
        raise refuse("a frame", "points", "none")
    return fields


def frame_of(given: AnyFrame) -> Frame:
    """A frame of an array of points [N, C], of a dict by the names of Frame, or of an object with attributes of these
    names, as a Scan or a PointCloud; in a dict, points may be such an object and boxes the Detections of a Detector.

    Raises InvalidArgument (ValueError) for shapes and dtypes that do not fit, and for keys that are not known.
    """
    fields = _fields_of(given)
    if hasattr(fields["points"], "points"):  # a scan
        scan = fields["points"]
        fields.update(points=scan.points)
        for name in ("has_remission", "origin"):
            if fields.get(name) is None:
                fields[name] = getattr(scan, name, None)
    if hasattr(fields.get("boxes"), "boxes"):  # Detections
        found = fields["boxes"]
        fields.update(boxes=found.boxes, scores=found.scores, classes=found.classes)
    points, wide = _points_of(fields["points"])
    frame = Frame(points, name=str(fields.get("name") or ""))
    if fields.get("labels") is not None:
        frame.labels = _labels_of(fields["labels"], len(points))
    if fields.get("boxes") is not None:
        frame.boxes = _boxes_of(fields["boxes"])
    frame.scores = _of_boxes(fields.get("scores"), "scores", len(frame.boxes), np.float32)
    frame.classes = _of_boxes(fields.get("classes"), "classes", len(frame.boxes), np.int32)
    if fields.get("seconds") is not None:
        frame.seconds = float(fields["seconds"])
    frame.has_remission = wide if fields.get("has_remission") is None else bool(fields["has_remission"]) and wide
    if fields.get("origin") is not None:
        frame.origin = np.asarray(fields["origin"], np.float64).reshape(3)
    return frame


def frames_of(given: Union[AnyFrame, Iterable[AnyFrame]]) -> Iterator[Frame]:
    """One frame, or those of a list, a generator .., as they come."""
    one = isinstance(given, Mapping) or hasattr(given, "points") or getattr(array_like(given), "ndim", 0) == 2
    frames: Iterable[Any] = [given] if one else cast("Iterable[Any]", given)
    for frame in frames:
        yield frame_of(frame)


def array_like(given: Any) -> Any:
    """What has a number of axes, without a copy; else None."""
    return given if hasattr(given, "ndim") else None


def class_table(classes: AnyClasses) -> list[tuple[str, Optional[tuple[int, int, int]]]]:
    """Names and colours; None where a class has no colour of its own. Without classes they are numbers."""
    if classes is None:
        return [(f"class {i}", None) for i in range(NO_CLASS)]
    table: list[tuple[str, Optional[tuple[int, int, int]]]] = []
    entry: Any
    for entry in classes:
        name = entry if isinstance(entry, str) else getattr(entry, "name", None) or entry[0]
        rgb = None if isinstance(entry, str) else getattr(entry, "rgb", None) or entry[-1]
        if rgb is not None:
            red, green, blue = (int(v) for v in rgb)
            rgb = (red, green, blue)
        table.append((str(name), rgb))
    return table
