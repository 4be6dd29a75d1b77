"""Scans, labels and boxes as one HTML page, which a browser shows without a network."""

from __future__ import annotations

import html
import os
import warnings
from collections.abc import Iterable
from typing import NoReturn, Optional, Union

from voxshift import _voxshift
from voxshift.look.frames import AnyClasses, AnyFrame, class_table, frames_of


class Page:
    """Frames in a page: points by class, remission or height, a legend that shows and hides classes, boxes with scores, a
    slider over the frames. In a notebook the value of a cell that is one shows itself.

    frames: one frame or several, as a list or a generator, each an array of points float32 [N, C >= 3] (x, y, z in metres,
    remission), an object with `points`, such as read_points gives, or a dict with any of
      points          such an array or object
      labels          [N], rows of `classes`, 255 or -1 for none, such as Model.segment gives
      boxes           float32 [M, 7 or more], as Detector.detect gives them, or its result
      scores, classes [M] of the boxes
      name, seconds   what the page says of the frame, and when it was
      has_remission   whether the fourth column is one; default yes
      origin          float64 [3], added to all coordinates
    classes: Model.classes, names, or pairs of a name and red, green, blue; unless given, they are numbered.
    max_points, max_frames: where there are more, every second is left out, as often as needed, evenly; a UserWarning and
    the page say so, and counts are still those of all points. A point takes 11 bytes.

    Raises InvalidArgument (ValueError) where the parts of a frame do not fit together, and for no frame.
    """

    def __init__(
        self,
        frames: Union[AnyFrame, Iterable[AnyFrame]],
        classes: AnyClasses = None,
        title: Optional[str] = None,
        max_points: int = 3_000_000,
        max_frames: int = 300,
    ) -> None:
        self._page = _voxshift._Page(class_table(classes), title or "voxshift", max_points, max_frames)
        count = 0
        for frame in frames_of(frames):
            self._page.add(
                frame.points, frame.labels, frame.boxes, frame.scores, frame.classes, frame.name, frame.seconds,
                frame.has_remission, frame.origin.tolist(),
            )  # fmt: skip
            count += 1
        if count == 0:
            raise _voxshift.InvalidArgument("[page] expects at least one frame, found none")
        if self.notes:
            warnings.warn("[page] " + "; ".join(self.notes), stacklevel=2)

    @property
    def notes(self) -> list[str]:
        """What the page leaves out, a line each."""
        return self._page.notes

    def html(self) -> str:
        """The text of the page."""
        return self._page.html()

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes the page, complete or not at all. Raises OSError where the file cannot be written."""
        self._page.save(os.fspath(path))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Page cannot be pickled or copied: its frames are packed; save it, or make a new one")

    def _repr_html_(self) -> str:
        return (
            '<iframe sandbox="allow-scripts" style="width: 100%; height: 600px; border: 0" '
            f'srcdoc="{html.escape(self.html())}"></iframe>'
        )


def write_html(
    path: Union[str, os.PathLike[str]],
    frames: Union[AnyFrame, Iterable[AnyFrame]],
    classes: AnyClasses = None,
    title: Optional[str] = None,
    max_points: int = 3_000_000,
    max_frames: int = 300,
) -> None:
    """Writes frames as one HTML page, as Page takes them. Raises what Page raises, and OSError."""
    Page(frames, classes, title, max_points, max_frames).save(path)
