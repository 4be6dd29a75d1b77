"""Writes labels, in the form that a file's name ends in."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from numpy.typing import ArrayLike

from voxshift._voxshift import ClassInfo, InvalidArgument
from voxshift.io.atomic import written_atomically
from voxshift.io.label_bags import write_bag
from voxshift.io.label_las import write_las
from voxshift.io.needed import needed
from voxshift.io.scan import Scan

UNLABELLED, UNLABELLED_COLOUR = 255, (128, 128, 128)
_Path = Union[str, "os.PathLike[str]"]


def whole_numbers(labels: ArrayLike) -> np.ndarray:
    """[N] of an integer dtype, none below 0."""
    values = np.asarray(labels)
    if values.ndim != 1 or values.dtype.kind not in "iu" or (values.dtype.kind == "i" and (values < 0).any()):
        raise InvalidArgument(
            f"[write_labels] expected whole numbers from 0 on as labels, [N], found {values.dtype} {list(values.shape)}"
        )
    return values


def raw_ids(labels: np.ndarray, classes: Optional[Sequence[ClassInfo]], kind: str) -> np.ndarray:
    """uint32 [N]: of train ids the data set's own, 0 where there is no class; labels of 16 or 32 bits as they are."""
    if classes is None:
        if labels.dtype not in (np.uint16, np.uint32):
            raise InvalidArgument(
                f"[write_labels] {kind} has the data set's own ids: give classes, as model.classes, for train ids, or own "
                f"ids as uint32, found {labels.dtype}"
            )
        return labels.astype(np.uint32)
    table = np.zeros(UNLABELLED + 1, np.uint32)
    table[: len(classes)] = [info.raw_id for info in classes]
    return table[np.minimum(labels, UNLABELLED)]


def _write_label(path: Path, labels: ArrayLike, classes: Optional[Sequence[ClassInfo]] = None) -> None:
    data = raw_ids(whole_numbers(labels), classes, "a .label").astype("<u4").tobytes()
    with written_atomically(path) as temporary:
        temporary.write_bytes(data)


def _write_npy(path: Path, labels: ArrayLike) -> None:
    stream = io.BytesIO()
    np.save(stream, whole_numbers(labels), allow_pickle=False)
    with written_atomically(path) as temporary:
        temporary.write_bytes(stream.getbuffer())


def _write_ply(
    path: Path, labels: ArrayLike, scan: Scan, classes: Optional[Sequence[ClassInfo]] = None
) -> None:
    """The layout of the command's .ply: x, y, z in double where there is an origin, the class's colour, its own id."""
    values = whole_numbers(labels)
    if len(values) != len(scan):
        raise InvalidArgument(f"[write_labels] expected {len(scan)} labels, one per point, found {len(values)}")
    ids = raw_ids(values, classes, "a .ply")
    wide = np.any(scan.origin)
    number, kind = ("double", "<f8") if wide else ("float", "<f4")
    colours: Optional[np.ndarray] = scan.rgb
    if classes is not None:
        table = [info.rgb for info in classes] + [UNLABELLED_COLOUR] * (UNLABELLED + 1 - len(classes))
        colours = np.array(table, np.uint8)[np.minimum(values, UNLABELLED)]
    columns: list[tuple[str, str, str, np.ndarray]] = []
    xyz = scan.xyz if wide else scan.points
    columns += [(axis, number, kind, xyz[:, i]) for i, axis in enumerate("xyz")]
    if colours is not None:
        columns += [(name, "uchar", "u1", colours[:, i]) for i, name in enumerate(("red", "green", "blue"))]
    columns += [("label", "ushort", "<u2", ids) if ids.max(initial=0) < 2**16 else ("label", "uint", "<u4", ids)]
    rows = np.empty(len(values), [(name, code) for name, _, code, _ in columns])
    for name, _, _, column in columns:
        rows[name] = column
    header = [f"property {kind} {name}" for name, kind, _, _ in columns]
    text = "\n".join(["ply", "format binary_little_endian 1.0", f"element vertex {len(values)}", *header, "end_header\n"])
    with written_atomically(path) as temporary:
        temporary.write_bytes(text.encode() + rows.tobytes())


def _scans_of(labels: Union[ArrayLike, Iterable[ArrayLike]], names: Optional[Sequence[str]]) -> list[np.ndarray]:
    one = isinstance(labels, np.ndarray) or not hasattr(labels, "__iter__") or hasattr(labels, "__dlpack__")
    scans: list[Any] = [labels] if one else list(labels)  # type: ignore[arg-type]
    if not one and scans and all(np.ndim(scan) == 0 for scan in scans):
        scans = [scans]
    if names is not None and len(names) != len(scans):
        raise InvalidArgument(f"[write_labels] expected {len(scans)} names, one per scan, found {len(names)}")
    return [whole_numbers(scan) for scan in scans]


def _write_parquet(
    path: Path,
    labels: Union[ArrayLike, Iterable[ArrayLike]],
    classes: Optional[Sequence[ClassInfo]] = None,
    names: Optional[Sequence[str]] = None,
) -> None:
    """A row per scan: name, where there are names, and labels as list<uint8>, of wider dtypes as list<uint32>."""
    pyarrow, parquet = needed("pyarrow", ".parquet files"), needed("pyarrow.parquet", ".parquet files")
    scans = _scans_of(labels, names)
    narrow = all(scan.max(initial=0) <= UNLABELLED for scan in scans)
    kind = pyarrow.uint8() if narrow else pyarrow.uint32()
    rows = pyarrow.array([scan.astype(np.uint8 if narrow else np.uint32) for scan in scans], pyarrow.list_(kind))
    columns = {"labels": rows} if names is None else {"name": pyarrow.array(names, pyarrow.string()), "labels": rows}
    table = pyarrow.table(columns)
    if classes is not None:
        known = [{"name": info.name, "raw_id": info.raw_id, "rgb": list(info.rgb)} for info in classes]
        table = table.replace_schema_metadata({"voxshift.classes": json.dumps(known)})
    with written_atomically(path) as temporary:
        parquet.write_table(table, str(temporary))


WRITERS: Mapping[str, tuple[Callable[..., None], set[str], set[str]]] = {
    # extension: writer, options that it needs, options that it takes
    ".label": (_write_label, set(), {"classes"}),
    ".npy": (_write_npy, set(), set()),
    ".ply": (_write_ply, {"scan"}, {"scan", "classes"}),
    ".las": (write_las, {"source"}, {"source", "classes", "codes"}),
    ".laz": (write_las, {"source"}, {"source", "classes", "codes"}),
    ".parquet": (_write_parquet, set(), {"classes", "names"}),
    ".bag": (write_bag, {"source"}, {"source", "topic", "to_topic", "field"}),
    ".db3": (write_bag, {"source"}, {"source", "topic", "to_topic", "field"}),
    ".mcap": (write_bag, {"source"}, {"source", "topic", "to_topic", "field"}),
    "": (write_bag, {"source"}, {"source", "topic", "field"}),
}
_IGNORED = {"classes", "scan"}  # what every call may give, also where a form has no use for it


def write_labels(
    path: _Path,
    labels: Union[ArrayLike, Iterable[ArrayLike]],
    *,
    classes: Optional[Sequence[ClassInfo]] = None,
    scan: Optional[Scan] = None,
    source: Optional[_Path] = None,
    codes: Optional[Mapping[Union[str, int], int]] = None,
    topic: Optional[str] = None,
    to_topic: Optional[str] = None,
    field: Optional[str] = None,
    names: Optional[Sequence[str]] = None,
) -> None:
    """Writes labels in the form that `path` ends in. The file is complete or absent; what was there before stays till then.

    labels: whole numbers [N], as the train ids uint8 of Model.segment, 255 for none. classes: their table, as
    Model.classes.

    .label: uint32, SemanticKITTI's own ids of train ids by their classes; labels of uint16 or uint32 are own ids already.
    .npy: the labels as they are.
    .ply: the points of scan with label, the own id as in .label, and the class's colour.
    .las, .laz: a copy of the tile source with all of its points and fields, and codes in its classification. codes: class
    name or train id -> code; unless given, ASPRS' codes for ground, vegetation, building, road .. by the names of classes,
    64 + train id for others, 1 for 255; without classes the labels as they are. A tile whose point format holds 5 bits
    of it gets the format of LAS 1.4 with the same fields where a code needs more.
    .parquet: a row per scan, labels as list<uint8>, names in a column name. Of several scans labels is a sequence of [N].
    .bag, .db3, .mcap, a folder of ROS 2's: a copy of the recording source, of the same kind, in which every message of
    topic (as of read_messages) has a further field, `field` or label, uint8 as the labels are; labels is an iterable, a
    generator, too, of [N] per message in the order of read_messages. All other messages are kept. With to_topic the
    messages of topic stay as they are, too, and the labelled ones go to a topic of that name beside them.

    Raises ValueError for labels of another dtype, shape or number, and for options that the form needs or does not have;
    OSError where a file cannot be read or written.
    """
    given = {"classes": classes, "scan": scan, "source": source, "codes": codes, "topic": topic, "to_topic": to_topic,
             "field": field, "names": names}
    options = {name: value for name, value in given.items() if value is not None}
    extension = Path(path).suffix.lower()
    if extension not in WRITERS and source is not None and Path(source).is_dir():
        extension = ""
    if extension not in WRITERS or (extension == "" and (source is None or not Path(source).is_dir())):
        kinds = ", ".join(kind for kind in WRITERS if kind)
        raise InvalidArgument(f"[write_labels] expected a name that ends in {kinds}, found {os.fspath(path)}")
    writer, needs, takes = WRITERS[extension]
    for name in sorted(needs - set(options)):
        raise InvalidArgument(f"[write_labels] {extension or 'a folder'} needs {name}=")
    for name in sorted(set(options) - takes - _IGNORED):
        raise InvalidArgument(f"[write_labels] {name}= is not of {extension or 'folders'}")
    writer(Path(path), labels, **{name: value for name, value in options.items() if name in takes})
