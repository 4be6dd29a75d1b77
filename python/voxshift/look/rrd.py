"""Recordings for rerun's viewer. rerun is imported when the first one is made."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Optional, Union

import numpy as np

from voxshift._voxshift import _Page
from voxshift.look.frames import NO_CLASS, AnyClasses, AnyFrame, Frame, class_table, frame_of, frames_of

REMISSION_COLOURS = np.array([[38, 32, 88], [60, 130, 190], [70, 190, 170], [255, 245, 170]], np.float64)


def _import_rerun() -> ModuleType:
    try:
        import rerun
    except ImportError as error:
        raise ImportError("recordings need rerun: pip install 'voxshift[rerun]', or rerun-sdk alone") from error
    return rerun


def _remission_colours(remission: np.ndarray) -> np.ndarray:
    """uint8 [N, 3]; the brightest from the 99th percentile on."""
    most = np.quantile(remission, 0.99) if len(remission) else 1.0
    along = np.clip(remission / (most if most > 0 else 1.0), 0, 1) * (len(REMISSION_COLOURS) - 1)
    below = np.minimum(along.astype(int), len(REMISSION_COLOURS) - 2)
    share = (along - below)[:, None]
    return np.round((1 - share) * REMISSION_COLOURS[below] + share * REMISSION_COLOURS[below + 1]).astype(np.uint8)


class Recording:
    """A recording that grows in PATH.part and gets its name by close(), or as a context; without that nothing stays.

    Scans lie under scan/, images under camera/, one step further on the timeline "frame" each, and where their time is known
    also on "time". classes: as of Page.
    """

    _open = False

    def __init__(self, path: Union[str, os.PathLike[str]], classes: AnyClasses = None) -> None:
        self._rerun = _import_rerun()
        self._path = os.fspath(path)
        self._part = self._path + ".part"
        with open(self._part, "wb"):  # rerun says nothing of a file that it cannot write
            pass
        # Else it is 0.22, the last that takes NumPy 1.
        self._is_new = hasattr(self._rerun.RecordingStream, "set_time")
        self._stream = (self._rerun.RecordingStream if self._is_new else self._rerun.new_recording)("voxshift")
        self._stream.save(self._part)
        self._open = True
        self._frames = 0
        self._explained = False
        self._origin: Optional[np.ndarray] = None  # of the first scan: rerun's coordinates are float32
        table = class_table(classes)
        info = [(i, name, rgb or tuple(_Page.spread_colour(i))) for i, (name, rgb) in enumerate(table)]
        info.append((NO_CLASS, "unlabelled", (128, 128, 128)))
        self._log("/", self._rerun.AnnotationContext(info), static=True)
        self._log("scan", self._rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)

    def _log(self, entity: str, what: Any, static: bool = False) -> None:
        self._stream.log(entity, what, static=static)

    # A time that was set stays until it is taken back.
    def _at(self, number: Optional[int], seconds: Optional[float]) -> None:
        step = self._frames if number is None else number
        if seconds is None:
            self._stream.disable_timeline("time")
        if self._is_new:
            self._stream.set_time("frame", sequence=step)
            if seconds is not None:
                self._stream.set_time("time", duration=seconds)
        else:
            self._stream.set_time_sequence("frame", step)
            if seconds is not None:
                self._stream.set_time_seconds("time", seconds)
        self._frames += 1

    def add_scan(self, scan: AnyFrame) -> None:
        """Points by class under scan/classes, by remission under scan/remission where there is one, boxes under scan/boxes,
        all in metres from the origin of the first scan.

        scan: a frame as Page takes it. Raises InvalidArgument (ValueError) as Page.
        """
        frame = frame_of(scan)
        self._at(None, frame.seconds)
        if self._origin is None:
            self._origin = frame.origin
        origin = frame.origin - self._origin
        finite = np.isfinite(frame.points[:, :3]).all(axis=1)
        points = frame.points[finite]
        places = (points[:, :3] + origin).astype(np.float32)
        labels = np.full(len(points), NO_CLASS, np.uint8) if frame.labels is None else frame.labels[finite]
        self._log("scan/classes", self._rerun.Points3D(places, class_ids=labels.astype(np.uint16)))
        if frame.has_remission:
            colours = _remission_colours(points[:, 3].astype(np.float64))
            self._log("scan/remission", self._rerun.Points3D(places, colors=colours))
        self._log_boxes(frame, origin)
        if frame.name:
            self._log("scan/name", self._rerun.TextLog(frame.name))

    def _log_boxes(self, frame: Frame, origin: np.ndarray) -> None:
        boxes = frame.boxes.astype(np.float64)
        half_turn = boxes[:, 6] / 2
        turns = np.stack([0 * half_turn, 0 * half_turn, np.sin(half_turn), np.cos(half_turn)], axis=1)
        ids = np.full(len(boxes), NO_CLASS) if frame.classes is None else frame.classes
        labels = None if frame.scores is None else [f"{score:.2f}" for score in frame.scores]
        self._log(
            "scan/boxes",
            self._rerun.Boxes3D(
                centers=boxes[:, :3] + origin,
                half_sizes=boxes[:, 3:6] / 2,
                quaternions=[self._rerun.Quaternion(xyzw=turn) for turn in turns],
                class_ids=np.asarray(ids, np.uint16),
                labels=labels,
            ),
        )

    def add_image(
        self,
        image: np.ndarray,
        number: Optional[int] = None,
        seconds: Optional[float] = None,
        computed: Optional[np.ndarray] = None,
        label: Optional[str] = None,
        score: Optional[float] = None,
        mac_fraction: Optional[float] = None,
        milliseconds: Optional[float] = None,
    ) -> None:
        """A frame of a camera, uint8 [H, W, 3] RGB, under camera/image.

        computed: bool or uint8 [H, W], where the frame was taken as changed (Recognizer.changed_pixels), under camera/computed;
        label, and as curves its score, the share of the multiply-adds that were done, and milliseconds, under stream/.
        """
        self._at(number, seconds)
        self._log("camera/image", self._rerun.Image(np.asarray(image)))
        if computed is not None:
            if not self._explained:
                kinds = [(0, "kept", (0, 0, 0, 0)), (1, "computed", (255, 140, 0))]
                self._log("camera/image/computed", self._rerun.AnnotationContext(kinds), static=True)
                self._explained = True
            mask = (np.asarray(computed) != 0).astype(np.uint8)
            self._log("camera/image/computed", self._rerun.SegmentationImage(mask, opacity=0.4))
        if label is not None:
            self._log("stream/label", self._rerun.TextLog(label))
        for name, value in [("score", score), ("mac_fraction", mac_fraction), ("milliseconds", milliseconds)]:
            if value is not None:
                scalar = self._rerun.Scalars if self._is_new else self._rerun.Scalar
                self._log(f"stream/{name}", scalar(value))

    def close(self) -> None:
        """Gives the file its name. Raises OSError."""
        self._stream.flush()
        self._stream.disconnect()
        os.replace(self._part, self._path)
        self._open = False

    def discard(self) -> None:
        """Leaves no file; does nothing after close()."""
        if self._open:
            self._open = False
            self._stream.disconnect()
            with contextlib.suppress(OSError):
                os.unlink(self._part)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], *_: Any) -> None:
        if kind is None:
            self.close()
        self.discard()

    def __del__(self) -> None:
        self.discard()


def write_rrd(
    path: Union[str, os.PathLike[str]], frames: Union[AnyFrame, Iterable[AnyFrame]], classes: AnyClasses = None
) -> None:
    """Writes frames, as Page takes them, as a recording for rerun's viewer (`rerun PATH`): points by class and by remission,
    boxes, a timeline.

    Needs rerun (pip install 'voxshift[rerun]'). Raises what Page raises, ImportError without rerun, and OSError.
    """
    with Recording(path, classes) as recording:
        for frame in frames_of(frames):
            recording.add_scan(frame)
