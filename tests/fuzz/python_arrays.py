"""Any arguments for every function and method of the Python module: a result, or an error that says what is wrong.

Which there are, and what they take, is read from the module's stub. atheris (libFuzzer for Python) makes the arguments;
scripts/fuzz.sh runs this with the module of the asan preset."""

import ast
import re
import sys
from pathlib import Path

import atheris
import numpy as np
import voxshift as vs
from voxshift import _voxshift

STUB = ast.parse((Path(vs.__file__).parent / "_voxshift.pyi").read_text(encoding="utf-8"))
ALIASES = {node.targets[0].id: ast.unparse(node.value) for node in STUB.body if isinstance(node, ast.Assign)}
# They read and write files, take long by design, or set what is the whole process's.
LEFT_OUT = {"calibrate_skip", "convert", "quantize", "read_checkpoint", "read_kitti_calibration", "read_kitti_labels", "read_points", "save",
            "save_onnx", "set_memory_cache", "set_num_threads", "synchronize", "synth_lidar", "synth_video", "to", "to_device",
            "with_parameters", "from_graph", "load", "new", "pretrained", "close"}
DTYPES = [np.float32] * 6 + [np.int32, np.int64, np.uint8, np.float16, np.float64, np.bool_, np.uint32, ">f4", np.complex64]
SIZES = [0, 1, 2, 3, 3, 4, 4, 5, 8, 16]
INTS = [-1, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 8, 100, 2**31, 2**62, -(2**31), 2**70]
FLOATS = [0.0, -0.0, 0.05, 0.1, 1.0, 2.5, -1.0, 1e-30, 1e30, float("inf"), float("-inf"), float("nan")]
# What mostly fits a parameter of that name: extents by digit, V for 27, F for 224, or one of three sizes of the call, n, c
# and k; "i" before them stands for int32, "l" for int64, "b" for bytes.
USUAL = {
    "x": ["nc", "nkc", "3nkc"], "points": ["n3", "n4", "3n3"], "queries": ["k3"], "centers": ["k3"], "features": ["nc"],
    "feats": ["nc"], "coords": ["in4", "ln4", "n3"], "weight": ["cc", "Vcc", "Vcc", "kc33", "cc11", "c133", "c", "1cc"],
    "grad": ["nc", "kc", "nkc", "3nkc"], "bias": ["c"], "scale": ["c"], "shift": ["c"], "mean": ["c"], "variance": ["c"],
    "residual": ["nc"], "out": ["nc"], "indices": ["in", "ink", "ln"], "inverse": ["in", "ln"], "row_splits": ["l2", "i2", "l3"],
    "query_splits": ["l2"], "center_splits": ["l2"], "mask": ["bn"], "dense": ["nkkkc", "nkc"], "grid": ["cnnn", "1nnnc"],
    "boxes": ["n7", "n9"], "scores": ["n"], "classes": ["in"], "frame": ["bFF3"], "frames": ["bnFF3", "b1FF3"], "logits": ["3"],
    "predicted": ["bn"], "truth": ["bn"], "labels": ["in"],
}

def alternatives(annotation):
    """The members of a Union, or the annotation alone."""
    if annotation == "_Array":  # the other kinds are tried less often, in other arguments
        return ["NDArray[Any]"]
    annotation = ALIASES.get(annotation, annotation)
    inside = re.fullmatch(r"(Union|Optional)\[(.*)\]", annotation, re.DOTALL)
    if not inside:
        return [annotation]
    members = [ast.unparse(member) for member in getattr(ast.parse(inside[2]).body[0].value, "elts", [])] or [inside[2]]
    members += ["None"] if inside[1] == "Optional" else []
    return [one for member in members for one in alternatives(member)]


class Arguments:
    """Values by their annotations. Those of one call share sizes, and earlier results come back as arguments."""

    def __init__(self, data):
        self.bytes = atheris.FuzzedDataProvider(data)
        self.results = list(OBJECTS)

    def pick(self, values):
        return values[self.bytes.ConsumeIntInRange(0, len(values) - 1)]

    def begin_call(self):
        self.sizes = [self.pick(SIZES) for _ in range(3)]

    def array(self, name):
        usual = self.pick(USUAL.get(name, ["nc"]))
        if self.bytes.ConsumeIntInRange(0, 7):
            dtype = np.dtype({"i": np.int32, "l": np.int64, "b": np.uint8}.get(usual[0], np.float32))
            extents = dict(zip("nck", self.sizes), V=27, F=224)
            shape = [extents[one] if one in extents else int(one) for one in usual.lstrip("ilb")]
        else:
            dtype = np.dtype(self.pick(DTYPES))
            shape = [self.pick(self.sizes) for _ in range(self.pick([2, 2, 2, 1, 3, 4, 0, 5]))]
        count = int(np.prod(shape, dtype=np.int64))
        small = np.frombuffer(self.bytes.ConsumeBytes(count).ljust(count, b"\1"), np.int8)
        if name.endswith("_splits") and self.bytes.ConsumeIntInRange(0, 7):
            return np.linspace(0, self.sizes[0 if name == "row_splits" else 2], count).astype(dtype).reshape(shape)
        kind = self.bytes.ConsumeIntInRange(0, 9)
        array = (small % 8 if kind < 6 else small).astype(dtype).reshape(shape)
        if kind == 6 and dtype.kind == "f" and count:
            array.flat[self.bytes.ConsumeIntInRange(0, count - 1)] = self.pick(FLOATS)
        if kind == 7 and dtype.kind in "iu" and count:
            array.flat[self.bytes.ConsumeIntInRange(0, count - 1)] = np.iinfo(dtype).max
        if kind == 8:
            array = np.asfortranarray(array)
        if kind == 9 and array.ndim:
            array = np.repeat(array, 2, axis=0)[::-2]
        array.setflags(write=self.bytes.ConsumeBool())
        return array

    def sparse_tensor(self):
        count, dims = self.pick(self.sizes), self.pick([3, 3, 2, 1, 4])
        raw = np.frombuffer(self.bytes.ConsumeBytes(count * dims).ljust(count * dims, b"\1"), np.int8)
        coords = np.zeros((count, dims + 1), np.int32)
        coords[:, 1:] = raw.reshape(count, dims)
        coords[:, 0] = np.arange(count) * self.pick([0, 0, 1])
        features = np.full((count, self.pick(self.sizes)), 0.5, np.float32)
        extent = 64 if dims < 4 else 16  # small where it becomes dense
        bounded = {"shape": [extent] * dims} if self.bytes.ConsumeBool() else {}
        return vs.SparseTensor(abs(coords) % extent if bounded else coords, features, reduce="sum", stride=1, **bounded)

    def boxes(self):
        count = self.pick(self.sizes)
        raw = np.frombuffer(self.bytes.ConsumeBytes(count * 10).ljust(count * 10, b"\1"), np.int8).reshape(count, 10)
        return {"boxes": raw[:, :self.pick([7, 9, 9, 6])].astype(np.float32), "scores": raw[:, 9] / self.pick([8, 1, 0.0]),
                "classes": [self.pick(["Car", "van", "Cyclist", "bus", "", 0])] * count, "points": abs(raw[:, 0].astype(int))}

    def value(self, annotation, argument=""):
        kind = self.pick(alternatives(annotation))
        name = kind.split("[")[0]
        known = [result for result in self.results if type(result).__name__ == name or
                 (name == "NDArray" and isinstance(result, np.ndarray))]
        if known and self.bytes.ConsumeBool():
            return self.pick(known)
        if kind.startswith("Literal"):
            return self.pick([element.value for element in ast.walk(ast.parse(kind)) if isinstance(element, ast.Constant)] * 4 +
                             ["nothing"])
        if name == "Sequence" and kind != "Sequence[int]" and kind != "Sequence[float]":
            return [self.value(kind[len("Sequence["):-1], argument) for _ in range(self.pick([0, 1, 2, 3]))]
        if name == "tuple":
            return tuple(self.value(ast.unparse(part)) for part in ast.parse(kind[len("tuple["):-1]).body[0].value.elts)
        makers = {
            "NDArray": lambda: self.array(argument),
            "SparseTensor": self.sparse_tensor,
            "Coordinates": lambda: self.sparse_tensor().coordinates,
            "_DetectedBoxes": self.boxes,
            "_TrueBoxes": self.boxes,
            "_Profile": lambda: self.pick(MODELS).profile,
            "int": lambda: self.pick(INTS),
            "float": lambda: self.pick(FLOATS),
            "bool": self.bytes.ConsumeBool,
            "Sequence[int]": lambda: [self.pick(INTS) for _ in range(self.pick([3, 3, 2, 1, 0, 4]))],
            "Sequence[float]": lambda: [self.pick(FLOATS) for _ in range(self.pick([3, 3, 3, 2]))],
            "str": lambda: self.pick(["stem", "kitti", ""]),
            "bytes": lambda: bytes(self.bytes.ConsumeBytes(12)),
        }
        return makers.get(kind, makers.get(name, lambda: None))()


MODELS = [vs.Model.new(arch, width=0.0625, classes=3, threads=1) for arch in ("minkunet", "spvcnn", "pvcnn", "pointnet++")]
CLIPS = vs.Model.new("tsm-mobilenetv2", width=0.1, classes=3, threads=1)
IMAGE = vs.from_dense(np.ones((1, 4, 4, 4), np.float32))
OBJECTS = MODELS + [CLIPS, IMAGE, vs.three_nearest(np.ones((4, 3), np.float32), np.eye(3, dtype=np.float32)), vs.ConfusionMatrix(3),
                    vs.LabelSmoother(2), vs.StreamingShift(4),
                    vs.MaskedLayer.conv2d(4, 4, np.ones((4, 4, 3, 3), np.float32), padding=1)]
OBJECTS += [vs.Detector(vs.Model.new("pointpillars", width=0.0625, threads=1))]
OBJECTS += [vs.Recognizer(CLIPS, skip=skip, threads=1) for skip in ("off", "exact", 0.1)]


def signature_of(node):
    arguments = node.args.args
    required = len(arguments) - len(node.args.defaults)
    return [(one.arg, ast.unparse(one.annotation), i < required) for i, one in enumerate(arguments) if one.arg != "self"]


def callables():
    """(class or None, name, signature) of all that a caller gives values to."""
    for node in STUB.body:
        if isinstance(node, ast.FunctionDef) and node.name not in LEFT_OUT and not node.name.startswith("_"):
            yield None, node.name, signature_of(node)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and hasattr(_voxshift, node.name):
            for method in node.body:
                if not isinstance(method, ast.FunctionDef) or method.name in LEFT_OUT:
                    continue
                static = any(getattr(one, "id", "") == "staticmethod" for one in method.decorator_list)
                if method.name == "__init__" or static:
                    name = node.name if method.name == "__init__" else f"{node.name}.{method.name}"
                    yield None, name, signature_of(method)
                elif len(method.args.args) > 1 and not method.name.startswith("_"):
                    yield node.name, method.name, signature_of(method)


CALLABLES = list(callables())
REFUSALS = (vs.Error, TypeError, ValueError)


def call(arguments):
    owners = {None} | {type(one).__name__ for one in arguments.results}
    owner, name, signature = arguments.pick([one for one in CALLABLES if one[0] in owners])
    arguments.begin_call()
    if owner is None:
        target = _voxshift
        for part in name.split("."):
            target = getattr(target, part)
    else:
        target = getattr(arguments.pick([one for one in arguments.results if type(one).__name__ == owner]), name)
    given = {}
    for argument, annotation, required in signature:
        if required or arguments.bytes.ConsumeIntInRange(0, 3) == 0:
            given[argument] = arguments.value(annotation, argument)
    if given.get("threads") is not None:
        given["threads"] = 1
    result = target(**given)
    for part in result if isinstance(result, tuple) else [result]:
        arguments.results += [part] + [getattr(part, field) for field in ("indices", "tensor", "coords", "coordinates") if hasattr(part, field)]


def test_one_input(data):
    arguments = Arguments(data)
    for _ in range(4):
        try:
            call(arguments)
        except REFUSALS as error:
            assert "\n" not in str(error) or isinstance(error, TypeError), error  # pybind11 lists signatures


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
